"""The job with FastStream: a batch subscriber, and a transaction a batch.

As https://faststream.ag2.ai/latest/confluent/Subscriber/batch_subscriber/ has it, with msgspec in
the place of pydantic (getting-started/subscription/msgspec) and offsets committed after the
transaction (confluent/ack). Run by ``faststream run subscriber:app``.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg
from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker
from ledger import Payment, log_rows, sums
from psycopg_pool import AsyncConnectionPool

INSERT_PAYMENT = """
INSERT INTO payment (operation_id, inn, amount, document_number, document_date)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (operation_id) DO NOTHING RETURNING operation_id
"""
ADD_TO_BALANCE = """
INSERT INTO organization AS o (inn, balance) VALUES (%s, %s)
ON CONFLICT (inn) DO UPDATE SET balance = o.balance + excluded.balance RETURNING inn, balance
"""
INSERT_LOG = """
INSERT INTO balance_log (inn, operation_id, amount, previous_balance, new_balance)
VALUES (%s, %s, %s, %s, %s)
"""

broker = KafkaBroker(os.environ["BENCH_KAFKA"], serializer=MsgSpecSerializer(), logger=None)
app = FastStream(broker, logger=None)
pool = AsyncConnectionPool(os.environ["BENCH_DATABASE_URL"], min_size=1, open=False)
app.on_startup(pool.open)
app.after_shutdown(pool.close)


@broker.subscriber(
    os.environ["BENCH_TOPIC"],
    batch=True,
    max_records=int(os.environ["BENCH_BATCH"]),  # 10, unless one says so
    group_id=os.environ["BENCH_GROUP"],
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def apply(payments: list[Payment]) -> None:
    """Apply a batch."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        new = await _new(cursor, payments)
        found = await _returned(cursor, ADD_TO_BALANCE, list(sums(new).items()))
        await cursor.executemany(INSERT_LOG, log_rows(new, dict(found)))


async def _new(cursor: psycopg.AsyncCursor, payments: Iterable[Payment]) -> list[Payment]:
    """Record the payments, and give those that were not there yet."""
    first: dict[UUID, Payment] = {}
    for one in payments:
        first.setdefault(one.operation_id, one)
    rows = [
        (one.operation_id, one.payer_inn, one.amount, one.document_number, one.document_date)
        for one in first.values()
    ]
    return [first[row[0]] for row in await _returned(cursor, INSERT_PAYMENT, rows)]


async def _returned(
    cursor: psycopg.AsyncCursor, statement: str, rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Run it for each row, in one pipeline, and give the rows that came back."""
    if not rows:
        return []
    await cursor.executemany(statement, rows, returning=True)
    found = []
    while True:
        found += await cursor.fetchall()
        if not cursor.nextset():
            return found
