"""Balance reads: what they say, how many become one query, and what they wait for."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest
from support.payments import TOPIC_ID
from support.webhooks import (
    GOOD,
    INN,
    JSON,
    PROBLEM,
    WEBHOOK,
    EmptyLedger,
    RecordingJournal,
    Serve,
    TheTopic,
)

from ostatok.errors import JournalUnavailable, LedgerUnavailable
from ostatok.journal import partition_of
from ostatok.settings import load
from ostatok_db.reading import Standing
from ostatok_http.balance import Balances
from ostatok_http.ports import Position, RecordHeaders
from ostatok_http.progress import Progress
from ostatok_http.standings import QUERY_ORGANIZATIONS_MAX
from ostatok_http.watermark import Watermark

PATH = f"/api/organizations/{INN}/balance/"
PARTITION = partition_of(INN, 12)


class ScriptedLedger(EmptyLedger):
    """Says what the test put in, when the test lets it, and keeps what it was asked."""

    def __init__(self, balance: str | None = "145000.00", next_offset: int = 0) -> None:
        self.balance = None if balance is None else Decimal(balance)
        self.next_offset = next_offset
        self.error: Exception | None = None
        self.queries: list[list[tuple[str, int]]] = []
        self.polls = 0
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.polled: asyncio.Queue[None] = asyncio.Queue()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Give everyone the same balance."""
        self.queries.append(list(asked))
        self.asked.put_nowait(None)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [Standing(inn, self.balance, self.next_offset) for inn, _ in asked]

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Give how far the test says the ledger is."""
        self.polls += 1
        self.polled.put_nowait(None)
        if self.error is not None:
            raise self.error
        return {PARTITION: (self.next_offset, TOPIC_ID)}


class TopicAway(TheTopic):
    """Nobody can compare it with the ledger, so that balances alone ask where the ledger stands."""

    async def describe_async(self) -> tuple[str, int] | None:
        """Be away."""
        raise JournalUnavailable


class JournalAtThree(RecordingJournal):
    """Puts the INN's first payment at offset 2 of its partition."""

    async def publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> Position:
        """Have the record."""
        await super().publish(key, value, headers)
        return Position(PARTITION, 2)


@pytest.fixture
def ledger() -> ScriptedLedger:
    """Give the ledger that the test writes the part of."""
    return ScriptedLedger()


@pytest.fixture
async def balances(ledger: ScriptedLedger) -> AsyncIterator[Balances]:
    """Give what the endpoint reads through."""
    settings = load(read_wait_seconds=1, http_requests_max=3_000)
    watermark = Watermark.open(settings)
    progress = Progress(ledger, waiting_max=10)
    balances = Balances(settings, ledger, TheTopic(), watermark, progress)
    yield balances
    balances.close()
    progress.close()
    watermark.close()


@pytest.mark.parametrize(
    ("balance", "text"),
    [
        ("145000.00", "145000.00"),
        ("0.10", "0.10"),
        ("5", "5.00"),
        ("1E+5", "100000.00"),
        ("999999999999999999.99", "999999999999999999.99"),
        ("9007199254740993.01", "9007199254740993.01"),
    ],
)
async def test_a_balance_is_exact(serve: Serve, balance: str, text: str) -> None:
    """It is a JSON number with two decimals, to the letter of the contract, whatever its size."""
    client = await serve(ledger=ScriptedLedger(balance, next_offset=17))
    async with client.get(PATH) as answer:
        assert answer.status == 200
        assert await answer.read() == f'{{"inn": "{INN}", "balance": {text}}}'.encode()
        assert answer.content_type == "application/json"
        assert answer.headers["Ostatok-Applied"] == f"{PARTITION}:17"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Ostatok-Stale" not in answer.headers


async def test_who_never_paid_is_not_found(serve: Serve) -> None:
    """An INN without a payment is a 404 that says how far it was looked for."""
    client = await serve(ledger=ScriptedLedger(None, next_offset=17))
    async with client.get(PATH) as answer:
        assert (answer.status, await answer.read()) == (404, b'{"error": "Organization not found"}')
        assert answer.headers["Ostatok-Applied"] == f"{PARTITION}:17"
    async with client.get(PATH, headers=PROBLEM) as answer:
        assert json.loads(await answer.read())["title"] == "Organization not found"


@pytest.mark.parametrize("inn", ["1", "12345678901", "123456789x", "%D9%A1" * 10, "%00", ""])
async def test_what_is_no_inn_is_not_found(serve: Serve, ledger: ScriptedLedger, inn: str) -> None:
    """The ledger is not even asked for what can't be an INN."""
    client = await serve(ledger=ledger)
    async with client.get(f"/api/organizations/{inn}/balance/") as answer:
        assert (answer.status, await answer.read()) == (404, b'{"error": "Organization not found"}')
        assert "Ostatok-Applied" not in answer.headers
    assert ledger.queries == []


async def test_a_database_that_is_away_is_a_503(serve: Serve, ledger: ScriptedLedger) -> None:
    """The reader is told to repeat, and the next read after its return succeeds."""
    ledger.error = LedgerUnavailable()
    client = await serve(ledger=ledger)
    async with client.get(PATH) as answer:
        assert (answer.status, await answer.read()) == (503, b'{"error": "Service unavailable"}')
        assert int(answer.headers["Retry-After"]) >= 1
    ledger.error = None
    async with client.get(PATH) as answer:
        assert answer.status == 200


async def test_a_database_that_is_frozen_is_a_503(serve: Serve, ledger: ScriptedLedger) -> None:
    """A read waits no longer for the database than the setting says, however many wait with it."""
    ledger.may_answer.clear()
    client = await serve(ledger=ledger, database_timeout_seconds=0.1)
    for _ in range(2):
        async with client.get(PATH) as answer:
            assert answer.status == 503
    ledger.may_answer.set()
    async with client.get(PATH) as answer:
        assert answer.status == 200


async def test_reads_of_one_turn_are_one_query(balances: Balances, ledger: ScriptedLedger) -> None:
    """A hundred reads that come together ask the ledger once, and each INN once."""
    inns = [f"{number:010}" for number in range(50)] * 2
    readings = await asyncio.gather(*map(balances.read, inns))
    assert [reading.standing.inn for reading in readings] == inns
    assert [len(query) for query in ledger.queries] == [50]


async def test_a_slow_query_is_not_waited_for(balances: Balances, ledger: ScriptedLedger) -> None:
    """A connection that answers nothing holds up those who asked by it, and no others for long."""
    ledger.may_answer.clear()
    first = asyncio.create_task(balances.read(f"{1:010}"))
    await ledger.asked.get()
    second = asyncio.create_task(balances.read(f"{2:010}"))
    await asyncio.wait_for(ledger.asked.get(), 5)
    ledger.may_answer.set()
    await asyncio.gather(first, second)
    assert [len(query) for query in ledger.queries] == [1, 1]


async def test_reads_during_a_query_share_the_next(
    balances: Balances, ledger: ScriptedLedger
) -> None:
    """One query is under way: who comes meanwhile waits for the next one, all in one."""
    ledger.may_answer.clear()
    reads = [asyncio.create_task(balances.read(f"{1:010}"))]
    await ledger.asked.get()
    reads += [asyncio.create_task(balances.read(f"{number:010}")) for number in range(10, 60)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(ledger.queries) == 1
    ledger.may_answer.set()
    await asyncio.gather(*reads)
    assert [len(query) for query in ledger.queries] == [1, 50]


async def test_a_query_has_a_limit(balances: Balances, ledger: ScriptedLedger) -> None:
    """More INNs than one query takes become two."""
    inns = [f"{number:010}" for number in range(QUERY_ORGANIZATIONS_MAX + 1)]
    await asyncio.gather(*map(balances.read, inns))
    assert [len(query) for query in ledger.queries] == [QUERY_ORGANIZATIONS_MAX, 1]


async def test_a_reader_that_leaves_harms_no_other(
    balances: Balances, ledger: ScriptedLedger
) -> None:
    """Of two who share a query, one can go."""
    ledger.may_answer.clear()
    leaving, staying = (asyncio.create_task(balances.read(INN)) for _ in range(2))
    await ledger.asked.get()
    leaving.cancel()
    ledger.may_answer.set()
    assert (await staying).standing.balance == Decimal("145000.00")


async def test_too_many_readers_are_sent_away(balances: Balances, ledger: ScriptedLedger) -> None:
    """Past the limit of reads in hand the next one is refused at once."""
    ledger.may_answer.clear()
    reads = [asyncio.create_task(balances.read(INN)) for _ in range(3_000)]
    await ledger.asked.get()
    with pytest.raises(LedgerUnavailable, match="Too many"):
        await balances.read(INN)
    ledger.may_answer.set()
    await asyncio.gather(*reads)
    assert (await balances.read(INN)).standing.inn == INN


async def test_a_read_waits_for_what_was_acknowledged(serve: Serve, ledger: ScriptedLedger) -> None:
    """POST, 200, GET: the balance is answered once the ledger has the payment, and not before."""
    ledger.balance = None
    client = await serve(JournalAtThree(), ledger, TopicAway(), read_wait_seconds=30)
    await client.post(WEBHOOK, data=GOOD, headers=JSON)
    read = asyncio.create_task(client.get(PATH))
    await ledger.polled.get()
    assert not read.done()
    ledger.balance, ledger.next_offset = Decimal("145000.00"), 3
    answer = await read
    assert answer.headers["Ostatok-Applied"] == f"{PARTITION}:3"
    assert "Ostatok-Stale" not in answer.headers
    assert b"145000.00" in await answer.read()


@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_past_the_limit_a_read_is_stale(
    serve: Serve, ledger: ScriptedLedger, seconds: float
) -> None:
    """What is applied is answered then, and the answer says that something is missing in it."""
    ledger.next_offset = 2
    client = await serve(JournalAtThree(), ledger, TopicAway(), read_wait_seconds=seconds)
    await client.post(WEBHOOK, data=GOOD, headers=JSON)
    async with client.get(PATH) as answer:
        assert answer.status == 200
        assert answer.headers["Ostatok-Stale"] == "true"
        assert answer.headers["Ostatok-Applied"] == f"{PARTITION}:2"
    ledger.balance = None
    async with client.get(PATH) as answer:
        assert (answer.status, answer.headers["Ostatok-Stale"]) == (404, "true")
    async with client.get("/metrics") as answer:
        assert 'balance_reads_total{answer="stale"} 2.0' in await answer.text()


async def test_all_who_wait_share_one_poll(serve: Serve, ledger: ScriptedLedger) -> None:
    """However many wait, the ledger is asked once for all how far it is; and only while they do."""
    client = await serve(JournalAtThree(), ledger, TopicAway(), read_wait_seconds=30)
    await client.post(WEBHOOK, data=GOOD, headers=JSON)
    reads = [asyncio.create_task(client.get(PATH)) for _ in range(50)]
    for _ in range(3):
        await ledger.polled.get()
    ledger.next_offset = 3
    assert [answer.status for answer in await asyncio.gather(*reads)] == [200] * 50
    polls = ledger.polls
    assert polls < 50
    async with client.get(PATH) as answer:
        assert answer.status == 200
    assert ledger.polls == polls


async def test_a_database_lost_while_waiting_is_a_503(serve: Serve, ledger: ScriptedLedger) -> None:
    """Who waits for the ledger when it goes away is told so at once, not at the end of the wait."""
    client = await serve(JournalAtThree(), ledger, TopicAway(), read_wait_seconds=30)
    await client.post(WEBHOOK, data=GOOD, headers=JSON)
    read = asyncio.create_task(client.get(PATH))
    await ledger.polled.get()
    ledger.error = LedgerUnavailable()
    assert (await asyncio.wait_for(read, 10)).status == 503
