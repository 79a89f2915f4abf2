"""The words that answers are counted by, and the doors that denials are noted at."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.webhooks import Serve

from ostatok_http.connection_counts import CUT, REFUSED, ConnectionCounts
from ostatok_http.doors.trail import Trail
from ostatok_http.metrics import BALANCE_ANSWERS, WEBHOOK_ANSWERS

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")


def row_of(metric: str) -> str:
    """What operations.md says of a metric."""
    (row,) = re.findall(rf"^\| `{metric}` \|(.*)$", OPERATIONS, re.MULTILINE)
    return row


@pytest.mark.parametrize("words", [WEBHOOK_ANSWERS, BALANCE_ANSWERS, REFUSED, CUT])
def test_no_word_is_there_twice(words: tuple[str, ...]) -> None:
    """Whoever adds one sees that it is there."""
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("ostatok_http_webhooks_total", WEBHOOK_ANSWERS),
        ("ostatok_http_balance_reads_total", BALANCE_ANSWERS),
        ("ostatok_http_refused_connections_total", REFUSED),
        ("ostatok_http_cut_connections_total", CUT),
    ],
)
def test_the_document_has_each_word(metric: str, words: tuple[str, ...]) -> None:
    """An operator finds what every value of a label means."""
    row = row_of(metric)
    assert [word for word in words if f"`{word}`" not in row] == []


def test_the_document_has_each_metric_of_connections() -> None:
    """Counters by the names that Prometheus stores them under."""
    registry = CollectorRegistry()
    ConnectionCounts(registry)
    for family in registry.collect():
        assert row_of(family.name + ("_total" if family.type == "counter" else ""))


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/console", "console"),
        ("/console/login/", "console"),
        ("/consoles", "other"),
        ("/.env", "other"),
        ("/api/nothing/", "other"),
        ("/api/openapi.json", "openapi"),
    ],
)
async def test_a_denial_is_noted_at_its_door(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str, door: str
) -> None:
    """An address that is no route is not the console's, whatever asks for it."""
    noted = []
    monkeypatch.setattr(Trail, "denied", lambda _, *words: noted.append(words[0]))
    client = await serve(http_client_requests_per_second=0.01, http_client_requests_burst=1)
    for status in (None, 429):
        async with client.get(path, allow_redirects=False) as answer:
            assert status in {None, answer.status}
    assert noted == [door]
