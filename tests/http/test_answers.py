"""Refusals: each error has its status, each status its body, and each answer its request id."""

import json
from decimal import Decimal

import pytest
from support.webhooks import (
    GOOD,
    JSON,
    PROBLEM,
    WEBHOOK,
    EmptyLedger,
    RecordingJournal,
    Serve,
)

from ostatok import errors
from ostatok.errors import OstatokError
from ostatok_db.reading import Standing
from ostatok_http.answers import wants_problem
from ostatok_http.ports import Position, RecordHeaders
from ostatok_http.refusals import (
    BEHIND,
    DEAD_LETTER_NOT_FOUND,
    DECIDED,
    FAILED,
    FULL,
    INVALID,
    INVALID_PARAMETERS,
    MISMATCH,
    NOT_ALLOWED,
    NOT_REDRIVABLE,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    refusal_of,
)

EXPECTED = {
    "NotAuthenticated": UNAUTHORIZED,
    "NotAllowed": NOT_ALLOWED,
    "TooManyRequests": TOO_MANY,
    "InvalidPayment": INVALID,
    "InvalidParameters": INVALID_PARAMETERS,
    "JournalUnavailable": UNAVAILABLE,
    "JournalFull": FULL,
    "JournalMismatch": MISMATCH,
    "PartitionsChanged": MISMATCH,
    "JournalCut": MISMATCH,
    "JournalShort": MISMATCH,
    "LedgerUnavailable": UNAVAILABLE,
    "LedgerNotMigrated": UNAVAILABLE,
    "LedgerBehind": BEHIND,
    "NotRedrivable": NOT_REDRIVABLE,
    "DeadLetterUnknown": DEAD_LETTER_NOT_FOUND,
    "DeadLetterDecided": DECIDED,
}


def test_every_error_has_its_refusal() -> None:
    """An error of ours that nobody gave a status is a fault of ours: 500."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if issubclass(kind, OstatokError)]
    assert set(EXPECTED) < {kind.__name__ for kind in ours}
    for kind in ours:
        refusal = refusal_of(kind.__new__(kind), "webhook")
        assert refusal is EXPECTED.get(kind.__name__, FAILED), kind


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], False),
        (["*/*"], False),
        (["application/json"], False),
        (["application/*"], False),
        (["application/problem+json"], True),
        (["Application/Problem+JSON"], True),
        (["application/json, application/problem+json"], True),
        (["application/json", "application/problem+json"], True),
        (["application/problem+json;q=0.5, application/json;q=0.4"], True),
        (["application/problem+json; q=0.4, application/json"], False),
        (["application/problem+json;q=0"], False),
        (["application/problem+json;charset=utf-8"], True),
        (["application/problem+jsonx"], False),
    ],
)
def test_a_problem_is_given_to_who_asks_for_it(accept: list[str], *, wanted: bool) -> None:
    """The type must be named, and not be liked less than plain JSON."""
    assert wants_problem(accept) is wanted


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/", 404, "Not found"),
        ("GET", "/api/organizations/", 404, "Not found"),
        ("GET", WEBHOOK, 405, "Method not allowed"),
        ("PUT", WEBHOOK, 405, "Method not allowed"),
        ("POST", "/api/organizations/1234567890/balance/", 405, "Method not allowed"),
        ("GET", "/api/organizations/1234567890/balance/", 404, "Organization not found"),
    ],
)
async def test_an_address_without_an_answer_says_so(
    serve: Serve, method: str, path: str, status: int, error: str
) -> None:
    """The refusal is JSON in both forms, carries a request id, and no version of anything."""
    client = await serve()
    async with client.request(method, path) as answer:
        assert (answer.status, await answer.json()) == (status, {"error": error})
        assert len(answer.headers["X-Request-ID"]) == 32
        assert answer.headers["Server"] == "Ostatok"
        assert answer.headers["Vary"] == "Accept"
        assert ("Allow" in answer.headers) is (status == 405)
    async with client.request(method, path, headers=PROBLEM) as answer:
        problem = json.loads(await answer.read())
        assert answer.content_type == "application/problem+json"
    assert (problem["status"], problem["title"]) == (status, error)
    assert problem["type"].startswith("urn:ostatok:problem:")
    assert problem["detail"]


class BrokenJournal(RecordingJournal):
    """A journal with a bug."""

    async def publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> Position:
        """Break."""
        raise ZeroDivisionError((key, value, headers))


async def test_a_bug_is_a_500_that_tells_nothing(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody thought of is answered with a fixed body, and logged with its request id."""
    client = await serve(journal=BrokenJournal())
    headers = JSON | {"X-Request-ID": "the-one"}
    async with client.post(WEBHOOK, data=GOOD, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (500, b'{"error": "Internal error"}')
        assert answer.headers["X-Request-ID"] == "the-one"
    logged = capsys.readouterr()
    assert "the-one" in logged.out + logged.err
    async with client.get("/metrics") as answer:
        assert 'ostatok_http_webhooks_total{answer="failed"} 1.0' in await answer.text()


class RichLedger(EmptyLedger):
    """A ledger in which everyone has 1 ruble."""

    async def standings(self, asked: list[tuple[str, int]]) -> list[Standing]:  # type: ignore[override]
        """Give 1 ruble."""
        return [Standing(inn, Decimal("1.00"), 9) for inn, _ in asked]


async def test_answers_are_counted(serve: Serve) -> None:
    """Each webhook and each balance read is counted once, by what was answered."""
    client = await serve(ledger=RichLedger())
    await client.post(WEBHOOK, data=GOOD, headers=JSON)
    await client.post(WEBHOOK, data=b"{", headers=JSON)
    await client.post(WEBHOOK, data=b"{", headers={"Content-Type": "text/plain"})
    await client.get("/api/organizations/1234567890/balance/")
    await client.get("/api/organizations/x/balance")
    async with client.get("/metrics") as answer:
        page = await answer.text()
    for line in (
        'ostatok_http_webhooks_total{answer="accepted"} 1.0',
        'ostatok_http_webhooks_total{answer="invalid"} 1.0',
        'ostatok_http_webhooks_total{answer="unsupported"} 1.0',
        'ostatok_http_balance_reads_total{answer="found"} 1.0',
        'ostatok_http_balance_reads_total{answer="not_found"} 1.0',
        "ostatok_http_publish_seconds_count 1.0",
        "ostatok_http_balance_seconds_count 1.0",
        "ostatok_http_publishing_webhooks 0.0",
    ):
        assert line in page
