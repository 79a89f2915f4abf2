"""What a page of the console reads does not grow with the ledger."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from support.payments import MOMENT, PARTITIONS, TOPIC, batch, dead_letter, entry, payment
from support.plans import KEPT_AFTER, count_anew, rows_read

from ostatok.journal import DeadLetter, Entry, partition_of
from ostatok.payment import LATEST
from ostatok.settings import Settings
from ostatok_db.browsing import _BEFORE_ALL, _BEHIND_ALL
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.queries import queries

MANY = 1_500
LIMIT = 10
LOOKS = 2 * LIMIT + 5
"""Rows read of any one table or index for a page of ten: twice those that it shows, and some."""

_, PARTITION, OFFSET = _BEHIND_ALL
PAGE = {
    "limit": LIMIT,
    "topic": TOPIC,
    "since": _BEFORE_ALL,
    "until": LATEST,
    "before_received_at": LATEST,
    "before_partition": PARTITION,
    "before_offset": OFFSET,
    "after_received_at": _BEFORE_ALL,
    "after_partition": -1,
    "after_offset": -1,
    "operation_id": None,
    "reason": None,
    "decided": None,
    "looks_max": 20,
}
MIDDLE = MOMENT + timedelta(minutes=MANY // 2)


def inn_of(number: int) -> str:
    """An INN for each number, in order."""
    return f"{7_700_000_000 + number}"


INN = inn_of(700)
HOME = partition_of(INN, PARTITIONS)
LOOKED_AT: list[tuple[str, dict[str, Any], int]] = [
    ("list_organizations", {"low": "77", "high": "78", "after": inn_of(700)}, LIMIT),
    ("read_organization_whole", {"inn": INN, "moments": [MIDDLE, LATEST]}, 1),
    ("read_log_page", {"inn": INN, "first": 1, "last": 1, "samples": []}, 1),
    ("read_log_page", {"inn": INN, "first": 1, "last": 0, "samples": [1]}, 1),
    ("find_operation_at", {"partition": 0, "offset": 700}, 1),
    ("list_conflicts", {}, LIMIT),
    ("list_conflicts", {"before_received_at": MIDDLE}, LIMIT),
    ("list_conflicts_of", {"inn": INN}, 1),
    ("read_conflict", {"partition": 1, "offset": 700}, 1),
    ("latest_dead_letters", {}, LIMIT),
    ("list_dead_letters", {}, LIMIT),
    ("list_dead_letters", {"after_received_at": MIDDLE}, LIMIT),
    ("list_dead_letters", {"decided": True}, 0),
    ("find_end_of_look", {}, 1),
    ("find_dead_letter", {"partition": 2, "offset": 700}, 1),
    (
        "count_outcomes_between",
        {"partitions": [1, 2], "firsts": [MANY - 2, MANY - 1], "ends": [MANY, MANY]},
        2,
    ),
    (
        "find_entries_by_document",
        {"inn": INN, "document_number": "PAY-328", "first": 1, "last": 1},
        1,
    ),
]


@pytest.mark.parametrize("prepared_young", [True, False], ids=["young", "grown"])
async def test_a_page_reads_what_it_shows(
    database: Settings, ledger: Ledger, prepared_young: bool
) -> None:
    """By an index, whether the plan was made before the first payment or after many."""
    address = conninfo(database, name="test")
    async with await psycopg.AsyncConnection.connect(address) as reader:
        if prepared_young:
            for name, values, _ in LOOKED_AT * KEPT_AFTER:
                await reader.execute(queries[name], {**PAGE, **values})
            await reader.commit()
        await _fill(ledger)
        if not prepared_young:
            await reader.execute("ANALYZE")  # as autovacuum does within a minute
            await reader.commit()
        for name, values, rows in LOOKED_AT:
            await count_anew(reader)
            cursor = await reader.execute(queries[name], {**PAGE, **values})
            assert len(await cursor.fetchall()) == rows, name
            assert await rows_read(reader) <= LOOKS, name


async def _fill(ledger: Ledger) -> None:
    """Let each of many INNs have a payment and a conflict; and as many dead letters be there."""
    paid = [payment(inn=inn_of(number)) for number in range(MANY)]
    changed = [
        payment(inn=one.inn, operation_id=one.operation_id, document_number="other") for one in paid
    ]
    applied: list[Entry] = [
        entry(one, number, minutes=number, partition=0) for number, one in enumerate(paid)
    ]
    conflicts = [
        entry(one, number, minutes=number, partition=1) for number, one in enumerate(changed)
    ]
    dead = [_dead(number) for number in range(MANY)]
    await ledger.apply(batch(*applied))
    await ledger.apply(batch(*conflicts))
    await ledger.apply(batch(dead=dead))


def _dead(number: int) -> DeadLetter:
    made = dead_letter(2, number)
    return DeadLetter(made.record, made.reason, MOMENT + timedelta(minutes=number))
