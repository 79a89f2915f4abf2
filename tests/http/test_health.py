"""Is it alive, is it ready: what the endpoints say, and that asking often costs nothing."""

import asyncio
import json
from typing import Literal

import pytest
from support.webhooks import EmptyLedger, RecordingJournal, Serve

from ostatok.errors import LedgerUnavailable
from ostatok_http import health


class SickJournal(RecordingJournal):
    """A journal that lacks something."""

    def __init__(self, lacks: Literal["broker", "topic"] | None) -> None:
        super().__init__()
        self.lacks = lacks
        self.asked = 0

    async def missing(self) -> Literal["broker", "topic"] | None:
        """Say what."""
        self.asked += 1
        return self.lacks


class SickLedger(EmptyLedger):
    """A ledger that is away, or frozen."""

    def __init__(self, *, frozen: bool) -> None:
        self.frozen = frozen

    async def check(self) -> None:
        """Be away, or say nothing."""
        if self.frozen:
            await asyncio.Event().wait()
        raise LedgerUnavailable


async def test_ready_is_when_all_is_there(serve: Serve) -> None:
    """With broker, topic and database there, it is 200."""
    client = await serve()
    async with client.get("/readyz") as answer:
        assert (answer.status, await answer.read()) == (200, b'{"status": "ok"}')


@pytest.mark.parametrize("frozen", [False, True], ids=["away", "frozen"])
@pytest.mark.parametrize("lacks", ["broker", "topic", None])
async def test_what_is_missing_is_named(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    lacks: Literal["broker", "topic"] | None,
    *,
    frozen: bool,
) -> None:
    """Each part that is not there is named; the process is alive all the same."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    client = await serve(journal=SickJournal(lacks), ledger=SickLedger(frozen=frozen))
    async with client.get("/readyz") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        missing = [lacks, "database"] if lacks else ["database"]
        assert json.loads(await answer.read()) == {"status": "unavailable", "missing": missing}
    async with client.get("/healthz") as answer:
        assert answer.status == 200


async def test_asking_often_costs_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked, the broker is asked once while the finding is fresh."""
    monkeypatch.setattr(health, "CACHED_SECONDS", 3600)
    journal = SickJournal("topic")
    client = await serve(journal=journal)
    answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
    assert {answer.status for answer in answers} == {503}
    assert journal.asked == 1
