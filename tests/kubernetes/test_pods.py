"""The pods of deploy/kubernetes, held to what code and image say, with no cluster needed."""

import re
from pathlib import Path

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from support.cluster import FOLDER, KINDS, SECRETS, Installation, installation, quantity, with_files
from support.deployment import (
    PROJECT,
    ROOT,
    WRITABLE,
    assert_is_no_secret,
    assert_is_setting,
    http_paths,
    settings_from,
    stream_paths,
)
from support.kustomize import render

from ostatok.cli import main
from ostatok.errors import SettingsError
from ostatok.settings import Settings
from ostatok_http.doors.required import require_doors
from ostatok_stream.watchdog import LOOP_SECONDS_MAX, TICK_SECONDS
from ostatok_stream.worker import STOP_SECONDS_MAX

URL = "OSTATOK_DATABASE_URL"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_the_variables_are_settings(there: Installation, part: str, settings: Settings) -> None:
    """Every variable is a setting, they load, and every file named is mounted from a Secret."""
    environment = there.environment(part)
    for variable, value in environment.items():
        assert_is_setting(variable)
        assert_is_no_secret(variable, value)
    named = {value for value in environment.values() if value.startswith(f"{SECRETS}/")}
    assert named == there.mounted(part)
    assert "password=s3cret" in settings.database_conninfo


def test_all_parts_have_the_same_settings(there: Installation, part: str) -> None:
    """All are given the ConfigMap under the name that it has, and the same files of Secrets.

    Only who connects to Postgres may differ, and with what password; and http alone knows senders.
    """
    (shared,) = there.of_kind("ConfigMap")
    settings = {name: text for name, text in shared["data"].items() if name != URL}
    assert there.environment(part).items() >= settings.items()
    own = {f"{SECRETS}/sources.toml"} if part != "http" else set()
    assert there.mounted(part) == there.mounted("http") - own
    own_secrets = ("ostatok-postgres", "ostatok-senders")
    others = [item for item in there.items("http") if not item[0].startswith(own_secrets)]
    assert there.items(part) >= set(others)


@pytest.mark.parametrize("part", KINDS)
def test_each_part_has_its_role_and_no_others_password(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `production`: the role that the settings name for it, and a Secret of its own."""
    there = installation("production")
    given = with_files(there.environment(part), there.mounted(part), tmp_path)
    settings = settings_from(given, monkeypatch)
    connected = conninfo_to_dict(settings.database_conninfo)
    assert connected["user"] == settings.database_roles[part]
    secret = "ostatok-postgres" if part == "migrate" else f"ostatok-postgres-{part}"
    of_postgres = {name for name, *_ in there.items(part) if name.startswith("ostatok-postgres")}
    assert of_postgres == {secret}
    owners = conninfo_to_dict(there.environment("migrate")[URL])
    assert connected["host"] == owners["host"]
    assert connected["dbname"] == owners["dbname"]


def test_http_starts_with_its_doors(
    there: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows senders and readers; the one for trying it out says that it knows nobody."""
    given = with_files(there.environment("http"), there.mounted("http"), tmp_path)
    settings = settings_from(given, monkeypatch)
    require_doors(settings)
    assert (settings.sources is None) is settings.http_open_to_all


def test_our_pods_run_our_commands(there: Installation, part: str) -> None:
    """The image's entry point gets a command of `ostatok`, of this version, by no moving tag."""
    container = there.container(part)
    assert "command" not in container
    assert container["args"] == [part]
    assert part in main.commands
    version = PROJECT["version"]
    assert re.fullmatch(rf"[a-z0-9./-]+/ostatok:{re.escape(version)}", container["image"])
    assert Installation(render(FOLDER / "base")).container(part)["image"] == f"ostatok:{version}"


@pytest.mark.parametrize(
    ("part", "name", "setting", "paths"),
    [
        ("http", "http", "http", http_paths()),
        ("stream", "metrics", "stream_metrics", stream_paths()),
    ],
)
def test_probes_and_scrapes_ask_what_answers(
    there: Installation, part: str, name: str, setting: str, paths: set[str], settings: Settings
) -> None:
    """They ask at the port that the process listens on, and at an address that exists."""
    container = there.container(part)
    port = getattr(settings, f"{setting}_port")
    assert container["ports"] == [{"name": name, "containerPort": port}]
    assert getattr(settings, f"{setting}_host") == "0.0.0.0"
    for probe in PROBES:
        asked = container[probe]["httpGet"]
        assert asked["port"] == name
        assert asked["path"] in paths
    annotations = there.part(part)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port)
    assert annotations["prometheus.io/path"] in paths
    for monitor in there.of_kind("PodMonitor"):
        if there.selected(monitor["spec"]["selector"]) == [part]:
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            assert endpoint["port"] == name
            assert endpoint["path"] in paths


def test_nothing_is_restarted_for_the_sake_of_others(there: Installation) -> None:
    """Liveness never asks for Kafka and Postgres, nor does the readiness of what takes webhooks."""
    asked = {
        part: [there.container(part)[probe]["httpGet"]["path"] for probe in PROBES]
        for part in ("http", "stream")
    }
    assert asked == {
        "http": ["/healthz", "/healthz", "/healthz"],
        "stream": ["/healthz", "/readyz", "/healthz"],
    }
    liveness = there.container("stream")["livenessProbe"]
    patience = liveness["periodSeconds"] * (liveness["failureThreshold"] - 1)
    assert patience > LOOP_SECONDS_MAX + TICK_SECONDS


@pytest.mark.parametrize("part", ["http"])
def test_the_grace_is_longer_than_the_drain(there: Installation, settings: Settings) -> None:
    """A pod may finish: preStop, the drain and the goodbye to Kafka; a worker its stop."""
    pause = there.container("http")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    grace = there.pod("http")["terminationGracePeriodSeconds"]
    assert grace > pause + 2 * settings.http_drain_seconds
    assert there.pod("stream")["terminationGracePeriodSeconds"] > 2 * STOP_SECONDS_MAX


def test_our_pods_may_do_little(there: Installation, part: str) -> None:
    """They are the image's user, write to /tmp alone, have no privilege and no token."""
    pod, container = there.pod(part), there.container(part)
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not [key for key in pod if key.startswith("host")]
    assert container["volumeMounts"] == [
        {"name": "tmp", "mountPath": WRITABLE},
        {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
    ]


def test_everything_has_a_limit(there: Installation, part: str) -> None:
    """Processors, memory, /tmp, a Job's time and tries; and whatever ends leaves its reason."""
    container = there.container(part)
    requests, limits = (container["resources"][one] for one in ("requests", "limits"))
    assert set(requests) == set(limits) == {"cpu", "memory"}
    assert all(quantity(requests[one]) <= quantity(limits[one]) for one in limits)
    (scratch,) = (one for one in there.pod(part)["volumes"] if one["name"] == "tmp")
    assert quantity(scratch["emptyDir"]["sizeLimit"]) == quantity("64Mi")
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    if part == "migrate":
        assert {"backoffLimit", "activeDeadlineSeconds"} <= set(there.part(part)["spec"])


def test_memory_limits_are_those_of_compose() -> None:
    """Both deployments give http and stream the same memory, from the same measurements."""
    base = Installation(render(FOLDER / "base"))
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    for part in ("http", "stream"):
        memory = compose[part]["deploy"]["resources"]["limits"]["memory"]
        assert base.container(part)["resources"]["limits"]["memory"] == f"{memory[:-1]}Mi"


@pytest.mark.parametrize("part", ["migrate"])
def test_the_variables_of_services_are_kept_out(
    there: Installation, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Kubernetes tells pods of our Service is no setting's value, so no pod is told."""
    (service,) = there.of_kind("Service")
    variable = service["metadata"]["name"].upper().replace("-", "_") + "_PORT"
    linked = there.environment(part) | {variable: "tcp://10.0.0.1:80"}
    with pytest.raises(SettingsError, match=variable):
        settings_from(with_files(linked, there.mounted(part), tmp_path), monkeypatch)
    assert all(there.pod(one)["enableServiceLinks"] is False for one in KINDS)
