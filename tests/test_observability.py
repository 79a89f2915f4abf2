"""Compose's profile `observability`: what is started, what is scraped, what the dashboard shows."""

import configparser
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "observability"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, one in SERVICES.items() if one.get("profiles") == ["observability"]]
SCRAPES = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
DASHBOARD = json.loads((FOLDER / "grafana" / "ostatok.json").read_text("utf-8"))
WIDTH = 24


def place_of(service: str, config: str) -> Path:
    """Where a container finds a file that it is given."""
    (target,) = [one["target"] for one in SERVICES[service]["configs"] if one["source"] == config]
    return Path(target)


@pytest.mark.parametrize("name", OURS)
def test_its_containers_may_do_little(name: str) -> None:
    """They have no privilege, a limit of memory, and nothing to write to but what is named."""
    container = SERVICES[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["deploy"]["resources"]["limits"]["memory"]
    assert container["restart"] == "unless-stopped"
    assert "healthcheck" in container
    assert "environment" not in container


def test_nothing_else_waits_for_it() -> None:
    """The system starts without the profile, and these services are all of it."""
    assert OURS == ["prometheus", "grafana"]
    for name in SERVICES.keys() - set(OURS):
        assert not set(SERVICES[name].get("depends_on", ())) & set(OURS)


def test_the_files_they_are_given_are_there() -> None:
    """Each is used once, and Prometheus and Grafana look for it where it lies."""
    given = [one["source"] for name in OURS for one in SERVICES[name]["configs"]]
    assert sorted(given) == sorted(COMPOSE["configs"])
    files = {ROOT / one["file"] for one in COMPOSE["configs"].values()}
    cases = {FOLDER / "alerts.test.yml"}
    assert files == {path for path in FOLDER.rglob("*") if path.is_file()} - cases
    configuration = place_of("prometheus", "prometheus")
    assert f"--config.file={configuration}" in SERVICES["prometheus"]["command"]
    (rules,) = SCRAPES["rule_files"]
    assert configuration.parent / rules == place_of("prometheus", "alerts")
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards.yml").read_text("utf-8"))[
        "providers"
    ]
    dashboard = place_of("grafana", "grafana-ostatok")
    assert Path(provider["options"]["path"]) == dashboard.parent
    ini = settings_of_grafana()
    assert ini["dashboards"]["default_home_dashboard_path"] == str(dashboard)
    (source,) = yaml.safe_load((FOLDER / "grafana/datasource.yml").read_text("utf-8"))[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


def settings_of_grafana() -> configparser.ConfigParser:
    """What grafana.ini says."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(FOLDER / "grafana" / "grafana.ini", encoding="utf-8")
    return ini


def test_grafana_has_no_account() -> None:
    """No administrator with a known password is made, and who comes may look only."""
    ini = settings_of_grafana()
    assert ini["security"]["disable_initial_admin_creation"] == "true"
    assert ini["auth"]["disable_login_form"] == "true"
    assert ini["auth.anonymous"]["org_role"] == "Viewer"
    assert not [key for section in ini.values() for key in section if "password" in key]


def test_every_replica_is_scraped() -> None:
    """By the names of compose's services, at the ports on which they listen."""
    ports = {"http": "OSTATOK_HTTP_PORT", "stream": "OSTATOK_STREAM_METRICS_PORT"}
    for job, (service, variable) in zip(SCRAPES["scrape_configs"], ports.items(), strict=True):
        assert job["job_name"] == f"ostatok-{service}"
        (found,) = job["dns_sd_configs"]
        assert (found["names"], found["type"]) == ([service], "A")
        assert str(found["port"]) == SERVICES[service]["environment"][variable]


def test_metrics_are_kept_as_long_as_the_rules_look_back() -> None:
    """The longest range of a rule lies within what Prometheus keeps."""
    (kept,) = [
        int(found[1])
        for one in SERVICES["prometheus"]["command"]
        if (found := re.fullmatch(r"--storage\.tsdb\.retention\.time=(\d+)d", one))
    ]
    days = map(int, re.findall(r"\[(\d+)d\]", (FOLDER / "alerts.yml").read_text("utf-8")))
    assert max(days) < kept


def test_the_dashboard_is_in_order() -> None:
    """Panels have numbers in their order, titles and units, and lie side by side."""
    panels = DASHBOARD["panels"]
    assert [one["id"] for one in panels] == list(range(1, len(panels) + 1))
    places = [one["gridPos"] for one in panels]
    assert places == sorted(places, key=lambda place: (place["y"], place["x"]))
    for one, other in itertools.combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
    for panel in panels:
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= WIDTH
        if "targets" in panel:
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert [one["refId"] for one in panel["targets"]] == list("ABCDEF")[
                : len(panel["targets"])
            ]
