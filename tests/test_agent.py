"""What becomes of a fetch: its partitions are applied side by side, and each in its order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import psycopg
import pytest
from structlog.testing import capture_logs
from support.payments import PARTITIONS, TOPIC, TOPIC_ID, entry, payment
from support.services import WAITING, Rows
from support.system import wait_until

from ostatok.journal import Entry, partition_of
from ostatok.settings import Settings
from ostatok_db.batch import Batch, Slice, pieces_of, shares_of
from ostatok_db.connection import conninfo
from ostatok_stream.agent import Applier
from ostatok_stream.brake import LONG_RECORDS
from ostatok_stream.positions import Session
from ostatok_stream.transport import Fetch
from ostatok_stream.watchdog import Progress

INNS = ("1234567890", "7707083893")
ONE, OTHER = (partition_of(inn, PARTITIONS) for inn in INNS)
OFFSETS = "SELECT partition, next_offset FROM applied_offset WHERE next_offset > 0 ORDER BY 1"
BATCH = 200
POSITIONS: Any = SimpleNamespace(topic=TOPIC, topic_id=TOPIC_ID)


def records(inn: str, many: int) -> list[Entry]:
    """So many payments of an INN, from its partition's first offset on."""
    return [entry(payment(inn=inn), offset) for offset in range(many)]


def fetch(*entries: Entry) -> Fetch:
    """What the transport makes of them."""
    bounds: dict[int, tuple[int, int]] = {}
    for one in entries:
        bounds[one.partition] = (0, one.offset + 1)
    return Fetch([one.record for one in entries], entries, (), bounds)


def slices(*lengths: int) -> list[Slice]:
    """A slice of so many records for each partition."""
    inn = INNS[0]
    return [
        Slice(at, 0, many, [entry(payment(inn=inn), one, partition=at) for one in range(many)])
        for at, many in enumerate(lengths)
    ]


@pytest.fixture
async def applier(database: Settings) -> AsyncIterator[Applier]:
    """One on two sessions."""
    sessions = [Session(conninfo(database, name="test", writes=True)) for _ in range(2)]
    yield Applier(POSITIONS, sessions, Progress(), batch_records_max=BATCH, log_operations=False)
    for session in sessions:
        await session.close()


async def test_a_partition_does_not_wait_for_another(
    applier: Applier, database: Settings, rows: Rows
) -> None:
    """With one partition's row locked by somebody, the other partition is applied all the same."""
    many = LONG_RECORDS
    brought = fetch(*records(INNS[0], many), *records(INNS[1], many))
    lock = b"SELECT FROM applied_offset WHERE partition = %d FOR UPDATE" % ONE
    with psycopg.connect(conninfo(database, name="test", writes=True)) as holder:
        holder.execute(lock)
        applying = asyncio.create_task(applier.apply(brought))
        await asyncio.to_thread(wait_until, lambda: rows(OFFSETS) == [(OTHER, many)], "the other")
        assert rows(WAITING)
        assert not applying.done()
    await applying
    assert sorted(rows(OFFSETS)) == sorted([(ONE, many), (OTHER, many)])
    assert rows("SELECT inn, entries FROM organization ORDER BY inn") == [
        (inn, many) for inn in sorted(INNS)
    ]


async def test_one_session_does_for_all(database: Settings, rows: Rows) -> None:
    """When Postgres has no connection for the second session, the first applies its share too."""
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = f"host=127.0.0.1 port={nobody.getsockname()[1]} connect_timeout=2"
        good = Session(conninfo(database, name="test", writes=True))
        applier = Applier(
            POSITIONS,
            [good, Session(refused)],
            Progress(),
            batch_records_max=BATCH,
            log_operations=False,
        )
        many = LONG_RECORDS
        await applier.apply(fetch(*records(INNS[0], many), *records(INNS[1], many)))
    assert sorted(rows(OFFSETS)) == sorted([(ONE, many), (OTHER, many)])
    await good.close()


async def test_a_worker_that_stops_begins_nothing(database: Settings) -> None:
    """A session that was closed is not opened again for the next piece of a fetch."""
    session = Session(conninfo(database, name="test", writes=True))
    async with session.ledger():
        closing_it = asyncio.create_task(session.close())
        await asyncio.sleep(0)
    await closing_it
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), session.ledger():
            pass


def broken(*_: object) -> NoReturn:
    """Fail as nobody has thought of."""
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    "of", [broken, lambda _: SimpleNamespace(applied=broken, end=broken)], ids=["begin", "rest"]
)
async def test_figures_and_traces_stop_nothing(
    database: Settings, rows: Rows, monkeypatch: pytest.MonkeyPatch, of: Any
) -> None:
    """The money is committed: what is wrong with them is said once, and the stream goes on."""
    monkeypatch.setattr("ostatok_stream.metrics.batch", broken)
    session = Session(conninfo(database, name="test", writes=True))
    applier = Applier(
        POSITIONS,
        [session],
        Progress(),
        batch_records_max=1,
        log_operations=False,
        traces=cast("Any", SimpleNamespace(of=of)),
    )
    with capture_logs() as events:
        await applier.apply(fetch(*records(INNS[0], 3)))
    await session.close()
    assert rows(OFFSETS) == [(ONE, 3)]
    said = [one["what"] for one in events if one["event"] == "telling_failed"]
    assert sorted(said) == ["metrics of a batch", "traces of a fetch"]
    assert sum(one["event"] == "batch_applied" for one in events) == 3


async def test_a_transaction_has_no_more_records_than_it_may(applier: Applier, rows: Rows) -> None:
    """A fetch of one partition is cut, and its pieces are applied in their order."""
    await applier.apply(fetch(*records(INNS[0], 5 * BATCH)))
    sizes = [many for (many,) in rows("SELECT count(*) FROM payment GROUP BY xmin ORDER BY 1")]
    assert sum(sizes) == 5 * BATCH
    assert max(sizes) <= BATCH
    assert rows("SELECT count(*), max(entry) FROM balance_log") == [(5 * BATCH, 5 * BATCH)]


async def test_a_small_fetch_is_one_transaction(applier: Applier, rows: Rows) -> None:
    """At a low rate a fetch brings a few records of many partitions: one commit for all."""
    await applier.apply(fetch(*records(INNS[0], 3), *records(INNS[1], 3)))
    assert rows("SELECT count(*), count(DISTINCT xmin::text) FROM payment") == [(6, 1)]


@pytest.mark.parametrize(
    ("lengths", "many", "loads"),
    [
        ((), 2, []),
        ((5,), 2, [5]),
        ((3, 3), 1, [6]),
        ((9, 1, 8, 2), 2, [10, 10]),
        ((1, 1, 1, 7), 2, [7, 3]),
        ((4, 4, 4), 4, [4, 4, 4]),
    ],
)
def test_shares_are_about_as_long(lengths: Sequence[int], many: int, loads: list[int]) -> None:
    """Every slice is in one share, whole, and no share is empty."""
    given = slices(*lengths)
    shares = shares_of(given, many)
    assert [sum(len(one.entries) for one in share) for share in shares] == loads
    assert sorted(one.partition for share in shares for one in share) == list(range(len(given)))


@pytest.mark.parametrize("lengths", [(1,), (10,), (11,), (25, 3, 0, 40), (100,)])
def test_pieces_are_the_batch_in_its_order(lengths: Sequence[int]) -> None:
    """None is too long, none lacks a record, and within a partition they follow each other."""
    whole = Batch(TOPIC, TOPIC_ID, slices(*lengths))
    stands = dict.fromkeys(range(len(lengths)), 0)
    for piece in pieces_of(whole, 10):
        assert piece.records <= 10
        for one in piece.slices:
            assert one.first_offset == stands[one.partition]
            assert [each.offset for each in one.entries] == list(
                range(one.first_offset, one.next_offset)
            )
            stands[one.partition] = one.next_offset
    assert list(stands.values()) == list(lengths)
