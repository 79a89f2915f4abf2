"""How full the service's queues are, as its metrics show it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession
from support.operators import DEAD_LETTERS, ME, StartOperators
from support.payments import MOMENT, TOPIC
from support.webhooks import JSON, EmptyLedger, RecordingJournal, Serve

from ostatok.errors import LedgerUnavailable
from ostatok_db.pool import PoolUse
from ostatok_db.reading import Undecided
from ostatok_http import fill
from ostatok_http.ports import Queue

SECONDS_MAX = 10
UNDECIDED = f'ostatok_http_undecided_dead_letters{{topic="{TOPIC}"}}'
OLDEST = f'ostatok_http_oldest_undecided_dead_letter_seconds{{topic="{TOPIC}"}}'
OFTEN_SECONDS = 0.01


class FullJournal(RecordingJournal):
    """A journal whose queue is nearly full."""

    def queue(self) -> Queue:
        """Hold nine of ten."""
        return Queue(9, 10)


class BusyLedger(EmptyLedger):
    """A ledger whose connections are all in use; each look finds that more was waited for."""

    def __init__(self) -> None:
        self.looks = 0
        self.counts = 0

    def pool_use(self) -> PoolUse:
        """Let three wait, and refuse one more each time."""
        self.looks += 1
        return PoolUse(4, 0, 4, 3, 0.5 * self.looks, self.looks)

    async def undecided_dead_letters(self) -> Undecided:
        """Have five, the oldest of a minute ago, but not know it the first time."""
        self.counts += 1
        if self.counts == 1:
            raise LedgerUnavailable
        return Undecided(5, 60.0)


async def until(client: ClientSession, *lines: str) -> str:
    """Wait until the metrics have these lines."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            async with client.get("/metrics") as answer:
                page = await answer.text()
            if set(lines) <= set(page.splitlines()):
                return page
            await asyncio.sleep(OFTEN_SECONDS)


async def test_queue_and_connections_are_shown(serve: Serve) -> None:
    """How many there are, and how many there may be."""
    client = await serve(journal=FullJournal(), ledger=BusyLedger(), http_requests_max=70)
    await until(
        client,
        "ostatok_http_publishing_webhooks 0.0",
        "ostatok_http_publishing_webhooks_max 70.0",
        "ostatok_http_producer_queue_records 9.0",
        "ostatok_http_producer_queue_records_max 10.0",
        'ostatok_http_database_connections{state="used"} 4.0',
        'ostatok_http_database_connections{state="idle"} 0.0',
        "ostatok_http_database_connections_max 4.0",
        "ostatok_http_database_waiting_reads 3.0",
        "ostatok_http_database_wait_seconds_total 0.5",
        "ostatok_http_database_refused_reads_total 1.0",
    )


async def test_looks_go_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was waited for in all is counted once; who can't count dead letters tries again."""
    monkeypatch.setattr(fill, "LOOK_SECONDS", OFTEN_SECONDS)
    monkeypatch.setattr(fill, "LOOKS_A_COUNT", 2)
    ledger = BusyLedger()
    client = await serve(ledger=ledger)
    page = await until(client, f"{UNDECIDED} 5.0", f"{OLDEST} 60.0")
    found = re.search(r"^ostatok_http_database_refused_reads_total (\S+)$", page, re.MULTILINE)
    assert found
    looks = float(found[1])
    assert 3 <= looks <= ledger.looks
    assert f"ostatok_http_database_wait_seconds_total {looks / 2}" in page


async def test_dead_letters_that_nobody_decided_about_are_counted(
    start_operators: StartOperators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever discards one makes them one less."""
    monkeypatch.setattr(fill, "LOOK_SECONDS", OFTEN_SECONDS)
    client = await start_operators()
    page = await until(client, f"{UNDECIDED} 3.0")
    seconds = re.search(rf"^{re.escape(OLDEST)} (\S+)$", page, re.MULTILINE)
    assert seconds
    since = datetime.now(UTC) - timedelta(seconds=float(seconds[1]))
    assert abs(since - MOMENT) < timedelta(minutes=5)
    discard, because = f"{DEAD_LETTERS}/7:1/discard/", b'{"because": "rubbish"}'
    async with client.post(discard, data=because, headers=JSON | ME) as answer:
        assert answer.status == 200, await answer.text()
    await until(client, f"{UNDECIDED} 2.0")


async def test_who_has_not_counted_shows_no_figure(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 0, which would say that nobody has to decide."""
    monkeypatch.setattr(fill, "LOOK_SECONDS", OFTEN_SECONDS)
    monkeypatch.setattr(fill, "LOOKS_A_COUNT", 10_000)
    ledger = BusyLedger()
    client = await serve(ledger=ledger)
    page = await until(client, "ostatok_http_database_waiting_reads 3.0")
    assert ledger.counts == 1
    assert f"{UNDECIDED} NaN\n" in page
    assert f"{OLDEST} NaN\n" in page
