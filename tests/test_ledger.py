"""The ledger against the real Postgres: outcomes, the fence, the append-only logs."""

import asyncio
import hashlib
import random
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from support.model import INNS
from support.payments import MOMENT, PARTITIONS, TOPIC, batch, dead_letter, entry, payment
from support.services import WAITING, Rows
from support.system import wait_until

from ostatok.errors import JournalMismatch, LedgerCorrupt, LedgerGap, LedgerUnavailable
from ostatok.journal import partition_of
from ostatok.payment import EARLIEST, Payment
from ostatok.settings import Settings
from ostatok_db.batch import Batch, Outcome, Slice
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger


async def test_a_payment_moves_its_balance(ledger: Ledger, rows: Rows) -> None:
    """One record: a payment, a log entry, a balance, an offset."""
    paid = payment(amount=Decimal("145000.01"))
    first = entry(paid, 0)
    applied = await ledger.apply(batch(first))
    assert applied.outcome_of(first.partition, 0) is Outcome.APPLIED
    assert applied.counts[Outcome.APPLIED] == 1
    assert rows("SELECT inn, balance, entries FROM organization") == [
        (paid.inn, Decimal("145000.01"), 1)
    ]
    assert rows("SELECT entry, previous_balance, new_balance, created_at FROM balance_log") == [
        (1, Decimal("0.00"), Decimal("145000.01"), MOMENT)
    ]
    assert rows("SELECT next_offset FROM applied_offset WHERE next_offset > 0") == [(1,)]


async def test_a_repeated_operation_moves_money_once(ledger: Ledger, rows: Rows) -> None:
    """Wherever the batches are cut, the second sighting is a duplicate."""
    paid = payment()
    applied = await ledger.apply(batch(entry(paid, 0), entry(paid, 1)))
    partition = partition_of(paid.inn, PARTITIONS)
    assert applied.others == {(partition, 1): Outcome.DUPLICATE}
    applied = await ledger.apply(batch(entry(paid, 2)))
    assert applied.others == {(partition, 2): Outcome.DUPLICATE}
    assert rows("SELECT balance FROM organization") == [(paid.amount,)]


@pytest.mark.parametrize(
    ("field", "value", "recorded", "received"),
    [
        ("amount", Decimal("1.5"), "145000.00", "1.50"),
        ("document_number", "PAY\\329", "PAY-328", "PAY\\329"),
        ("document_date", MOMENT, "2024-04-27 21:00:00+00", "2026-04-27 21:00:00+00"),
    ],
)
async def test_other_content_is_a_conflict(
    ledger: Ledger, rows: Rows, field: str, value: object, recorded: str, received: str
) -> None:
    """Money is not moved, and what differs is kept."""
    paid = payment()
    other = payment(operation_id=paid.operation_id, **{field: value})
    applied = await ledger.apply(batch(entry(paid, 0), entry(other, 1)))
    assert applied.counts[Outcome.CONFLICT] == 1
    assert applied.repeats[0].differences == {field: {"recorded": recorded, "received": received}}
    assert rows("SELECT balance FROM organization") == [(paid.amount,)]
    assert rows("SELECT outcome, differences FROM duplicate") == [
        ("conflict", {field: {"recorded": recorded, "received": received}})
    ]


async def test_an_operation_under_another_inn_is_a_conflict(ledger: Ledger, rows: Rows) -> None:
    """In another partition too, in the same batch or a later one: the first received wins."""
    paid = payment(inn=INNS[0])
    stolen = payment(operation_id=paid.operation_id, inn=INNS[2])
    assert partition_of(INNS[0], PARTITIONS) != partition_of(INNS[2], PARTITIONS)
    applied = await ledger.apply(batch(entry(stolen, 0, minutes=1), entry(paid, 0, minutes=0)))
    assert applied.others == {(partition_of(INNS[2], PARTITIONS), 0): Outcome.CONFLICT}
    assert set(applied.repeats[0].differences or ()) == {"payer_inn"}
    applied = await ledger.apply(batch(entry(stolen, 1, minutes=-5)))
    assert applied.counts[Outcome.CONFLICT] == 1
    assert rows("SELECT inn, balance FROM organization") == [(paid.inn, paid.amount)]


async def test_within_a_partition_the_lowest_offset_wins(ledger: Ledger, rows: Rows) -> None:
    """Even when the receivers' clocks say otherwise."""
    first = payment(amount=Decimal(1))
    later = payment(operation_id=first.operation_id, amount=Decimal(2))
    await ledger.apply(batch(entry(first, 0, minutes=9), entry(later, 1, minutes=0)))
    assert rows("SELECT amount FROM payment") == [(Decimal("1.00"),)]


async def test_a_batch_read_again_is_seen(ledger: Ledger, rows: Rows) -> None:
    """The whole of it, or the part that lies behind the offset: nothing is written twice."""
    one, two, three = payment(), payment(), payment()
    await ledger.apply(batch(entry(one, 0), entry(two, 1)))
    before = rows("SELECT xmin::text, * FROM balance_log ORDER BY entry")
    applied = await ledger.apply(batch(entry(one, 0), entry(two, 1)))
    assert applied.counts[Outcome.SEEN] == 2
    applied = await ledger.apply(batch(entry(two, 1), entry(three, 2)))
    assert dict(applied.counts) == {Outcome.SEEN: 1, Outcome.APPLIED: 1}
    assert rows("SELECT xmin::text, * FROM balance_log ORDER BY entry LIMIT 2") == before
    assert rows("SELECT next_offset FROM applied_offset WHERE next_offset > 0") == [(3,)]


async def test_a_hole_is_refused(ledger: Ledger, rows: Rows) -> None:
    """A batch that begins after the ledger's offset would skip payments: nothing is written."""
    with pytest.raises(LedgerGap, match=r"applied up to 0.* begins at 5"):
        await ledger.apply(batch(entry(payment(), 5)))
    assert rows("SELECT count(*) FROM payment") == [(0,)]


async def test_offsets_without_records_are_passed(ledger: Ledger, rows: Rows) -> None:
    """A topic may skip offsets: the reader's positions count, not the records'."""
    paid = entry(payment(), 7)
    await ledger.apply(Batch(TOPIC, "test-topic-id", [Slice(paid.partition, 0, 9, [paid])]))
    assert rows("SELECT next_offset FROM applied_offset WHERE next_offset > 0") == [(9,)]


async def test_another_topic_is_refused(ledger: Ledger, rows: Rows) -> None:
    """A topic of the same name that was made anew has other payments at these offsets."""
    with pytest.raises(JournalMismatch, match="made anew"):
        await ledger.apply(batch(entry(payment(), 0), topic_id="made-anew"))
    with pytest.raises(JournalMismatch, match="no partition 99"):
        await ledger.apply(batch(entry(payment(), 0, partition=99)))
    assert rows("SELECT count(*) FROM payment") == [(0,)]


async def test_dead_letters_are_kept_whole(ledger: Ledger, rows: Rows) -> None:
    """Bytes, headers and reason, in the transaction of the batch."""
    paid = payment()
    partition = partition_of(paid.inn, PARTITIONS)
    letters = [dead_letter(partition, 1, b"\xff\x00{"), dead_letter(partition, 2, None)]
    applied = await ledger.apply(batch(entry(paid, 0), dead=letters))
    assert applied.counts == {Outcome.APPLIED: 1, Outcome.DEAD: 2}
    assert rows(
        'SELECT "offset", reason, key, value, header_names, header_values FROM dead_letter'
        ' ORDER BY "offset"'
    ) == [
        (1, "is not JSON", None, b"\xff\x00{", [b"source"], [b"\xff"]),
        (2, "is not JSON", None, None, [b"source"], [b"\xff"]),
    ]
    assert rows("SELECT next_offset FROM applied_offset WHERE next_offset > 0") == [(3,)]


async def test_a_failure_writes_nothing(database: Settings, ledger: Ledger, rows: Rows) -> None:
    """The connection dies before the commit: no payment, no balance, no offset; then all of it."""
    paid, dead = entry(payment(), 0), dead_letter(partition_of("1234567890", PARTITIONS), 1)
    whole = batch(paid, dead=[dead])
    with psycopg.connect(conninfo(database, name="test")) as holder:
        # The last statement of the batch waits for this lock, all others have been done by then.
        holder.execute("LOCK TABLE dead_letter IN SHARE MODE")
        applying = asyncio.create_task(ledger.apply(whole))
        await asyncio.to_thread(wait_until, lambda: bool(rows(WAITING)), "the batch waits")
        rows("SELECT pg_terminate_backend(%s)", rows(WAITING)[0][0])
        with pytest.raises(LedgerUnavailable):
            await applying
    for table in ("payment", "balance_log", "organization", "dead_letter"):
        assert rows(f"SELECT count(*) FROM {table}") == [(0,)]
    assert rows("SELECT max(next_offset) FROM applied_offset") == [(0,)]
    again = await Ledger.connect(conninfo(database, name="test"))
    assert (await again.apply(whole)).counts == {Outcome.APPLIED: 1, Outcome.DEAD: 1}
    await again.close()


async def test_what_is_accepted_is_stored_exactly(ledger: Ledger, rows: Rows) -> None:
    """Amounts, dates and numbers of every kind come back as they were parsed."""
    pick = random.Random(2)
    alphabet = [chr(n) for n in range(32, 0x2FFFF) if chr(n).isprintable()]
    sent = [
        payment(
            amount=Decimal(pick.randrange(1, 10 ** pick.randrange(1, 16))).scaleb(-2),
            document_number="".join(pick.choices(alphabet, k=pick.randrange(1, 51))),
            document_date=EARLIEST + timedelta(microseconds=pick.randrange(35 * 10**14)),
        )
        for _ in range(300)
    ]
    await ledger.apply(batch(*(entry(paid, offset) for offset, paid in enumerate(sent))))
    found = rows(
        "SELECT operation_id::text, amount, inn, document_number, document_date FROM payment"
    )
    assert {one.operation_id: one for one in sent} == {row[0]: Payment(*row) for row in found}


async def test_the_log_is_ordered_in_time(ledger: Ledger, rows: Rows) -> None:
    """Clocks of receivers differ; the log of an INN never goes back, and dates stay honest."""
    minutes = [5, 3, 9, 1]
    for offset, minute in enumerate(minutes[:2]):
        await ledger.apply(batch(entry(payment(), offset, minutes=minute)))
    await ledger.apply(
        batch(*(entry(payment(), 2 + n, minutes=minute) for n, minute in enumerate(minutes[2:])))
    )
    found = rows("SELECT extract(minute FROM created_at)::int FROM balance_log ORDER BY entry")
    assert found == [(5,), (5,), (9,), (9,)]


async def test_links_can_be_computed_elsewhere(ledger: Ledger, rows: Rows) -> None:
    """SHA-256 over the link before and the entry's fields, joined by line feeds: no more."""
    balance, link = Decimal(0), b""
    for offset in range(3):
        paid = entry(payment(amount=Decimal("10.50"), document_number="№ \\1"), offset)
        await ledger.apply(batch(paid))
        balance += Decimal("10.50")
        content = [
            paid.payment.inn,
            offset + 1,
            paid.payment.operation_id,
            "10.50",
            balance,
            "№ \\1",
            int(paid.payment.document_date.timestamp()) * 10**6,
            TOPIC,
            paid.partition,
            offset,
            int(paid.received_at.timestamp()) * 10**6,
            "bank",
        ]
        link = hashlib.sha256(link + "\n".join(map(str, content)).encode()).digest()
        assert rows("SELECT link FROM balance_log WHERE entry = %s", offset + 1) == [(link,)]
        assert rows("SELECT head FROM organization") == [(link,)]


@pytest.mark.parametrize("table", ["payment", "balance_log", "duplicate"])
async def test_logs_are_append_only(ledger: Ledger, rows: Rows, table: str) -> None:
    """Neither an update nor a delete nor a truncate gets through, not even the owner's."""
    paid = payment()
    await ledger.apply(batch(entry(paid, 0), entry(paid, 1)))
    for statement in (f"UPDATE {table} SET inn = inn", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            rows(statement)


async def test_a_record_the_database_refuses_is_buried_alone(
    database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """It is found by halving the batch; all others get their outcome, and every offset has one."""
    refuse(database, "payment_amount_positive", "amount <> 13")
    entries = [entry(payment(amount=Decimal(n)), n - 1) for n in range(1, 41)]
    alone = entry(payment(inn="7707083893", amount=Decimal(13)), 0)
    applied = await ledger.apply(batch(entries[0], alone, dead=[dead_letter(3, 0)]))
    assert applied.counts == {Outcome.APPLIED: 1, Outcome.DEAD: 2}
    applied = await ledger.apply(batch(*entries[1:]))
    assert applied.others == {(entries[0].partition, 12): Outcome.DEAD}
    assert rows("SELECT balance, entries FROM organization") == [(sum(range(41)) - 13, 39)]
    assert rows("SELECT DISTINCT reason FROM dead_letter WHERE value = '{}'") == [
        ("the database refuses it: payment_amount_positive",)
    ]
    assert (await ledger.apply(batch(*entries[1:]))).counts[Outcome.SEEN] == 39


async def test_any_other_refusal_is_corruption(
    database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """A constraint that is not on the list stops everything: nothing is buried, nothing written."""
    refuse(database, "somebody_elses", "amount <> 13")
    with pytest.raises(LedgerCorrupt, match="23514"):
        await ledger.apply(batch(entry(payment(), 0), entry(payment(amount=Decimal(13)), 1)))
    assert rows("SELECT (SELECT count(*) FROM payment) + (SELECT count(*) FROM dead_letter)") == [
        (0,)
    ]


def refuse(database: Settings, constraint: str, condition: str) -> None:
    """Give the table of payments a constraint."""
    with psycopg.connect(conninfo(database, name="test")) as connection:
        for statement in (
            f"ALTER TABLE payment DROP CONSTRAINT IF EXISTS {constraint}",
            f"ALTER TABLE payment ADD CONSTRAINT {constraint} CHECK ({condition})",
        ):
            connection.execute(statement.encode())
