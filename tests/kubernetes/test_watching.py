"""What watches compose's processes watches those on Kubernetes by the same names."""

import re

import yaml
from support.cluster import installation
from support.deployment import ROOT

FOLDER = ROOT / "deploy" / "observability"
WHO_NAMES_JOBS = (
    FOLDER / "alerts.yml",
    FOLDER / "grafana" / "ostatok.json",
    ROOT / "docs" / "operations.md",
)


def jobs() -> dict[str, str]:
    """Give the job under which Prometheus keeps each part, by the part's name."""
    there, found = installation("production"), {}
    for monitor in there.of_kind("PodMonitor"):
        (part,) = there.selected(monitor["spec"]["selector"])
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        job = "{namespace}/{name}".format(**monitor["metadata"])  # As the Operator has it.
        for one in endpoint.get("relabelings", ()):
            assert one.keys() == {"targetLabel", "replacement"}
            job = one["replacement"] if one["targetLabel"] == "job" else job
        found[part] = job
    return found


def test_rules_and_dashboard_find_the_jobs_of_kubernetes() -> None:
    """Else OstatokHttpDown would fire at once, and for ever."""
    scraped = jobs()
    assert scraped.keys() == {"http", "stream"}
    named: set[str] = set()
    for path in WHO_NAMES_JOBS:
        text = path.read_text("utf-8").replace('\\"', '"')
        asked = re.findall(r'\bjob(=~|!~|!=|=)"([^"]*)"', text)
        assert asked, path
        for how, name in asked:
            if how == "=":
                named.add(name)
            else:
                assert how == "=~"
                assert all(re.fullmatch(name, job) for job in scraped.values()), (path, name)
    assert named == set(scraped.values())


def test_they_are_the_jobs_of_compose() -> None:
    """One dashboard does for both."""
    configs = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert {one["job_name"] for one in configs} == set(jobs().values())
