"""What a statement reads does not grow with the ledger, however young it was when first planned."""

import math
import uuid

import psycopg
from support.payments import MOMENT, batch, entry, payment
from support.plans import KEPT_AFTER, count_anew, rows_read

from ostatok.settings import Settings
from ostatok_db.batch import Batch
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.queries import queries

MANY = 2_000
FEW = 5
LOOKS_MAX = 2
"""How often a statement may look up the same row: once to read it, once to change it."""


async def test_a_batch_reads_no_more_than_its_own_rows(ledger: Ledger) -> None:
    """The plan was made for empty tables and none was analyzed since; it must not read them all."""
    offset = 0
    for many in (*[FEW] * KEPT_AFTER, MANY):
        await ledger.apply(_batch(offset, many))
        offset += many
    await count_anew(ledger._connection)
    async with ledger._connection.transaction():
        await ledger.apply(_batch(offset, FEW))
        assert await rows_read(ledger._connection) <= LOOKS_MAX * FEW


async def test_a_read_looks_at_what_it_asks_for(database: Settings, ledger: Ledger) -> None:
    """So a process that was up before the first payment answers as fast as one started later."""
    asked = {
        "topic": database.topic,
        "inns": [_inn(at) for at in range(FEW)],
        "partitions": list(range(FEW)),
    }
    address = conninfo(database, name="test")
    async with await psycopg.AsyncConnection.connect(address) as reader:
        for _ in range(KEPT_AFTER):
            await reader.execute(queries["read_standings"], asked)
        await reader.commit()
        await ledger.apply(_batch(0, MANY))
        cursor = await reader.execute(queries["read_standings"], asked)
        assert all(balance for _, balance in await cursor.fetchall())
        assert await rows_read(reader) <= LOOKS_MAX * FEW


def _batch(first: int, many: int, inn: str | None = None) -> Batch:
    offsets = range(first, first + many)
    return batch(*(entry(payment(inn=inn or _inn(at)), at, partition=0) for at in offsets))


def _inn(number: int) -> str:
    return f"{7_700_000_000 + number}"


async def test_a_point_of_the_past_is_found_by_bisection(
    database: Settings, ledger: Ledger
) -> None:
    """Among 2,000 entries of one INN it looks at a dozen, and at each payment by its key."""
    inn = _inn(0)
    asked = {"inn": inn, "moment": MOMENT, "offset": MANY // 3, "first": 700, "last": 700}
    asked |= {"operation_id": str(uuid.UUID(int=0)), "limit": 1}
    names = ("find_entry_before_moment", "find_entry_up_to_offset", "read_entries")
    address = conninfo(database, name="test")
    async with await psycopg.AsyncConnection.connect(address) as reader:
        for name in (*names, "read_records_of") * KEPT_AFTER:
            await reader.execute(queries[name], asked)
        await reader.commit()
        await ledger.apply(_batch(0, MANY, inn))
        for name in names:
            await count_anew(reader)
            cursor = await reader.execute(queries[name], asked)
            assert await cursor.fetchall()
            assert await rows_read(reader) <= math.ceil(math.log2(MANY)) + 1
        await count_anew(reader)
        await reader.execute(queries["read_records_of"], asked)
        assert await rows_read(reader) <= LOOKS_MAX
