"""Every metric and label that the dashboard, the rules and the documents name is there, live."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as parser
import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.foreign import INN as STRANGE_INN
from support.foreign import produce
from support.journal import webhook
from support.payments import MOMENT, PARTITIONS, README_PAYMENT, document
from support.services import Services
from support.system import System, request, wait_until

from ostatok.journal import partition_of
from ostatok.local.ports import free_port
from ostatok.setting_types import PREFIX
from ostatok_db.connection import conninfo

ROOT = Path(__file__).parents[1]
OBSERVABILITY = ROOT / "deploy" / "observability"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
RULES = [
    (rule["alert"], rule["expr"])
    for group in yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((OBSERVABILITY / "grafana" / "ostatok.json").read_text("utf-8"))
PANELS = [
    (panel["title"], target["expr"].replace("$__rate_interval", "1m"))
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
README_INN = README_PAYMENT["payer_inn"]
OF_PROMETHEUS = {"job", "instance"}
"""Labels that come with the scrape."""
OF_THE_CLIENT = ("python_info", "python_gc_")
UNITS = (
    "bytes",
    "connections",
    "conflicts",
    "fds",
    "letters",
    "matches",
    "offset",
    "partitions",
    "reads",
    "records",
    "retries",
    "seconds",
    "webhooks",
)
LOOK_SECONDS_MAX = 20

Samples = dict[str, list[dict[str, str]]]
"""The name of each sample → the labels it comes with."""


class Page(NamedTuple):
    """What a process shows."""

    families: dict[str, tuple[str, set[str]]]
    """Name, as it is asked for → type, labels."""
    samples: Samples
    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """One sample's."""
        return self.values[name, frozenset(labels.items())]


class Live(NamedTuple):
    """A system that has seen everything once."""

    system: System
    alone: Page
    """Of one http process."""
    together: Page
    """Of two http processes that share a port."""
    worker: Page

    @property
    def pages(self) -> tuple[Page, ...]:
        """All of them; of one http process first, as processes have a label on the other."""
        return self.alone, self.worker, self.together

    def showing(self, name: str) -> tuple[Page, ...]:
        """Those that must have a metric of that name."""
        if name.startswith("process_"):
            return self.pages
        return (self.worker,) if name.startswith("ostatok_stream_") else (self.alone, self.together)


def read_page(port: int) -> Page:
    """Ask a process for its metrics."""
    page = Page({}, {}, {})
    text = request(port, "GET", "/metrics").body.decode()
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        page.families[name] = (family.type, labels)
        for sample in family.samples:
            page.samples.setdefault(sample.name, []).append(sample.labels)
            page.values[sample.name, frozenset(sample.labels.items())] = sample.value
    return page


@pytest.fixture(scope="module")
def live(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Payments, one twice, one in conflict, one no payment; a record that is none; a balance."""
    settings = services.new_settings(read_wait_seconds=20)
    worker = settings.stream_metrics_port
    with System(settings, tmp_path_factory.mktemp("metrics")) as system:
        system.start_stream()
        system.start_http(workers=2)
        produce(settings, [{"key": STRANGE_INN, "value": b"{"}])
        paid = document()
        for one in (paid, paid, {**paid, "amount": 1}, document(), {}):
            system.post(json.dumps(one).encode())
        assert system.balance(str(paid["payer_inn"])).status == 200

        def is_seen() -> bool:
            page = read_page(worker)
            return (
                page.value("ostatok_stream_records_total", outcome="dead") == 1
                and page.value("ostatok_stream_records_total", outcome="conflict") == 1
                and "ostatok_stream_lag_records" in page.samples
            )

        wait_until(is_seen, "every outcome, and a look at the lag", LOOK_SECONDS_MAX)
        port = free_port()
        alone = system.start("http", log="alone.log", **{f"{PREFIX}HTTP_PORT": str(port)})
        system.wait_ready(port, alone)
        undecided = "ostatok_http_undecided_dead_letters", frozenset({("topic", settings.topic)})
        wait_until(
            lambda: read_page(port).values.get(undecided) == 1,
            "the dead letter is counted",
            LOOK_SECONDS_MAX,
        )
        yield Live(system, read_page(port), read_page(settings.http_port), read_page(worker))


def selectors_of(expression: str) -> list[Any]:
    """The selectors in an expression."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, parser.VectorSelector):
            found.append(node)
        elif isinstance(node, parser.MatrixSelector):
            found.append(node.vector_selector)
        return True

    parser.walk(parser.parse(expression), visit)
    return found


def labels_of(expression: str) -> set[str]:
    """The labels that an expression groups or matches by, and those that a legend shows."""
    return {
        label.strip()
        for labels in re.findall(r"\b(?:by|on|ignoring|without) ?\(([^)]*)\)", expression)
        for label in labels.split(",")
        if label.strip()
    }


@pytest.mark.parametrize(("name", "expression"), [*RULES, *PANELS])
def test_what_an_expression_names_is_there(live: Live, name: str, expression: str) -> None:
    """Each metric with its labels, on one process, on two, and with each value asked for."""
    selectors = selectors_of(expression)
    assert selectors
    seen = set(OF_PROMETHEUS)
    for selector in selectors:
        if selector.name == "up":  # Prometheus's own.
            continue
        for page in live.showing(selector.name):
            assert selector.name in page.samples, f"{name}: nobody shows {selector.name}"
            shown = page.samples[selector.name]
            seen |= {label for labels in shown for label in labels}
            for matcher in selector.matchers.matchers:
                if matcher.name in OF_PROMETHEUS:
                    continue
                values = matcher.value.split("|")
                there = {labels.get(matcher.name) for labels in shown}
                assert set(values) <= there, f"{name}: {matcher.name} is one of {there}"
    assert labels_of(expression) <= seen, name


def test_legends_show_labels_that_are_there(live: Live) -> None:
    """A label that no sample has would be an empty legend."""
    known = OF_PROMETHEUS | {
        label for page in live.pages for _, labels in page.families.values() for label in labels
    }
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_the_documents_list_every_metric(live: Live) -> None:
    """Name, type and labels, and no metric that is not there."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", OPERATIONS, re.MULTILINE)
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(listed) == len(rows)
    shown: dict[str, tuple[str, set[str]]] = {}
    for page in live.pages:
        ours = {n: found for n, found in page.families.items() if not n.startswith(OF_THE_CLIENT)}
        shown |= ours
    assert listed == shown


def test_names_follow_the_conventions(live: Live) -> None:
    """Counters end in _total; before it, or at the end, stands the unit."""
    for page in live.pages:
        for name, (kind, _) in page.families.items():
            if name.startswith(OF_THE_CLIENT):
                continue
            assert re.fullmatch(r"(ostatok_(http|stream)|process)(_[a-z]+)+", name)
            assert name.endswith("_total") is (kind == "counter")
            assert name.removesuffix("_total").removesuffix("_max").endswith(UNITS), name


def test_the_same_is_shown_by_one_process_and_by_two(live: Live) -> None:
    """But for the label by which processes of the same service are told apart."""
    together = {name: kind for name, (kind, _) in live.together.families.items()}
    assert together == {name: kind for name, (kind, _) in live.alone.families.items()}
    for worker in ("0", "1"):
        memory = live.together.value("process_resident_memory_bytes", worker=worker)
        assert memory > 30e6
    assert live.together.value("ostatok_http_publishing_webhooks_max") == 10_000
    assert live.alone.value("ostatok_http_publishing_webhooks_max") == 5_000
    assert live.together.value("ostatok_http_database_connections_max") == 8
    assert live.alone.value("process_resident_memory_bytes") > 30e6


def test_what_happened_is_counted(live: Live) -> None:
    """Webhooks by answer, records by outcome, and each payment's way to the ledger once."""
    for answer, count in (("accepted", 4), ("invalid", 1)):
        found = live.together.value("ostatok_http_webhooks_total", answer=answer)
        assert found == count
    for outcome, count in (("applied", 2), ("duplicate", 1), ("conflict", 1), ("dead", 1)):
        found = live.worker.value("ostatok_stream_records_total", outcome=outcome)
        assert found == count
    assert live.worker.value("ostatok_stream_end_to_end_seconds_count") == 4
    assert 0 < live.worker.value("ostatok_stream_end_to_end_seconds_sum") < 60
    assert live.worker.value("ostatok_stream_topic_partitions") == 12
    assert live.worker.value("ostatok_stream_assigned_partitions") == 12


def test_a_stuck_partition_shows_how_old_its_record_is(live: Live) -> None:
    """Of a payment received long ago, while its partition is locked and nothing is fetched."""
    home = str(partition_of(README_INN, PARTITIONS))
    settings = live.system.settings

    def age() -> float:
        page = read_page(settings.stream_metrics_port)
        return page.value("ostatok_stream_oldest_unapplied_seconds", partition=home)

    with psycopg.connect(conninfo(settings, name="test")) as locking:
        locking.execute("SELECT FROM applied_offset WHERE partition = %s FOR UPDATE", (home,))
        produce(settings, [webhook(document())])
        old = (datetime.now(UTC) - MOMENT).total_seconds()
        wait_until(lambda: age() >= old, "its age is the record's", LOOK_SECONDS_MAX)
    wait_until(lambda: age() == 0, "it is applied", LOOK_SECONDS_MAX)
