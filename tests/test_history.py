"""The past, by bisection: what it says is what counting one by one says."""

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from support.payments import MOMENT, PARTITIONS, batch, dead_letter, entry, payment
from support.services import Rows

from ostatok.errors import LedgerCorrupt
from ostatok.journal import Entry, partition_of
from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_db.connection import conninfo
from ostatok_db.history import PAGE_ENTRIES, History, Point
from ostatok_db.ledger import Ledger, Replay
from ostatok_db.pool import Pool

INN = "1234567890"
PARTITION = partition_of(INN, PARTITIONS)
ZERO = Decimal("0.00")


@pytest.fixture
async def history(database: Settings) -> AsyncIterator[History]:
    """Give the history of the ledger under test."""
    pool = Pool(database)
    await pool.open()
    yield History(database, pool)
    await pool.close()


def random_log(pick: random.Random, many: int) -> list[Entry]:
    """Payments of one INN, with holes between their offsets, and clocks that run back."""
    offset, entries = 0, []
    for minute in range(many):
        offset += pick.choice([1, 1, 1, 4])
        paid = payment(inn=INN, amount=Decimal(pick.randrange(1, 10**6)).scaleb(-2))
        entries.append(entry(paid, offset, minutes=minute + pick.choice([0, 0, -3, 2])))
    return entries


@pytest.mark.parametrize("many", [1, 2, 3, 40])
async def test_every_point_is_what_counting_says(
    ledger: Ledger, history: History, many: int
) -> None:
    """At each offset and each moment around each entry, and where none is."""
    entries = random_log(random.Random(many), many)
    await ledger.apply(batch(*entries, first=0))
    created: list[datetime] = []
    for one in entries:
        created.append(max([one.received_at, *created[-1:]]))
    sums = [ZERO]
    for one in entries:
        sums.append(sums[-1] + one.payment.amount)
    for offset in range(-1, entries[-1].offset + 2):
        count = sum(one.offset <= offset for one in entries)
        assert await history.at_offset(INN, offset) == Point(count, sums[count])
    for moment in {*created, MOMENT - timedelta(days=1), created[-1] + timedelta(microseconds=1)}:
        count = sum(one < moment for one in created)
        assert await history.before(INN, moment) == Point(count, sums[count])
    assert await history.last(INN) == Point(many, sums[-1])


async def test_an_inn_that_never_paid_has_no_past(ledger: Ledger, history: History) -> None:
    """It is not one with a balance of zero."""
    await ledger.apply(batch(entry(payment(inn="7707083893"), 0)))
    assert await history.before(INN, MOMENT) is None
    assert await history.at_offset(INN, 0) is None
    assert await history.last(INN) is None


async def test_pages_are_the_whole(ledger: Ledger, history: History, rows: Rows) -> None:
    """Each entry once and in order, over the edge of a page, with its payment."""
    entries = random_log(random.Random(1), PAGE_ENTRIES + 5)
    await ledger.apply(batch(*entries, first=0))
    pages = [page async for page in history.pages(INN, 3, PAGE_ENTRIES + 4)]
    assert [len(page) for page in pages] == [PAGE_ENTRIES, 2]
    found = [one for page in pages for one in page]
    assert [one.entry for one in found] == list(range(3, PAGE_ENTRIES + 5))
    for one, made in zip(found, entries[2:-1], strict=True):
        assert (one.operation_id, one.amount, one.offset, one.received_at) == (
            made.payment.operation_id,
            made.payment.amount,
            made.offset,
            made.received_at,
        )
        assert one.new_balance == one.previous_balance + one.amount
    assert rows("SELECT new_balance FROM balance_log WHERE entry = 3") == [(found[0].new_balance,)]


async def test_all_records_of_an_operation(ledger: Ledger, history: History) -> None:
    """The applied one first, then what repeated it, then what named it and is no payment."""
    paid = payment(inn=INN)
    changed = payment(inn=INN, operation_id=paid.operation_id, amount=Decimal(7))
    naming = b'{"operation_id": "%s", "amount": 0}' % paid.operation_id.upper().encode()
    await ledger.apply(
        batch(
            entry(paid, 4, minutes=1),
            entry(paid, 5, minutes=2),
            entry(changed, 6, minutes=3),
            dead=[dead_letter(PARTITION, 7, naming), dead_letter(PARTITION, 8)],
            first=0,
        )
    )
    records = await history.records_of(paid.operation_id)
    assert [(one.outcome, one.offset) for one in records] == [
        (Outcome.APPLIED, 4),
        (Outcome.DUPLICATE, 5),
        (Outcome.CONFLICT, 6),
        (Outcome.DEAD, 7),
    ]
    assert records[0].amount == paid.amount
    assert records[2].differences == {"amount": {"recorded": "145000.00", "received": "7.00"}}
    assert records[3].reason == "is not JSON"
    assert (await history.entry_of(records[0], paid.operation_id)).entry == 1
    assert await history.records_of(payment().operation_id) == []


async def test_the_outcome_of_each_place(ledger: Ledger, history: History) -> None:
    """Applied, duplicate, conflict, dead, and none yet."""
    paid = payment(inn=INN)
    changed = payment(inn=INN, operation_id=paid.operation_id, document_number="PAY-329")
    dead = [dead_letter(PARTITION, 3)]
    await ledger.apply(batch(entry(paid, 0), entry(paid, 1), entry(changed, 2), dead=dead))
    verdicts = [await history.outcome_at(PARTITION, offset) for offset in range(5)]
    assert [one and one.outcome for one in verdicts] == [
        Outcome.APPLIED,
        Outcome.DUPLICATE,
        Outcome.CONFLICT,
        Outcome.DEAD,
        None,
    ]
    assert verdicts[2] is not None
    assert verdicts[2].differences == {
        "document_number": {"recorded": "PAY-328", "received": "PAY-329"}
    }


async def test_an_entry_out_of_order_is_found_all_the_same(
    database: Settings, ledger: Ledger, history: History
) -> None:
    """A record that got its outcome later than those behind it, as by a replay."""
    entries = random_log(random.Random(5), 9)
    late = entries.pop(3)
    await ledger.apply(batch(*entries, first=0))
    await ledger.apply(batch(late), Replay.FOR_GOOD)
    (record,) = await history.records_of(late.payment.operation_id)
    assert (await history.entry_of(record, late.payment.operation_id)).entry == 9
    assert await history.has_replayed(INN)
    assert not await history.has_replayed("7707083893")


async def test_a_payment_without_an_entry_is_corruption(
    database: Settings, ledger: Ledger, history: History
) -> None:
    """Said as such, and not as an operation that nobody knows."""
    paid = payment(inn=INN)
    await ledger.apply(batch(entry(paid, 0)))
    (record,) = await history.records_of(paid.operation_id)
    change(database, "ALTER TABLE balance_log DISABLE TRIGGER USER", "DELETE FROM balance_log")
    with pytest.raises(LedgerCorrupt, match="without a log entry"):
        await history.entry_of(record, paid.operation_id)


def change(database: Settings, *statements: str) -> None:
    """Change the ledger behind everyone's back."""
    with psycopg.connect(conninfo(database, name="test")) as connection:
        for statement in statements:
            connection.execute(statement.encode())
