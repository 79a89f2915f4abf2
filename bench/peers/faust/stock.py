"""A stock Faust agent: one transaction an event, its offsets committed by Faust.

As https://faust-streaming.github.io/faust/userguide/agents.html has an agent: ``async for`` over
the events, at least once. Run by ``faust -L uvloop -A stock worker``.
"""

import os
from collections.abc import AsyncIterator

import faust
import psycopg
from ledger import Payment, decode

INSERT_PAYMENT = """
INSERT INTO payment (operation_id, inn, amount, document_number, document_date)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (operation_id) DO NOTHING
"""
# Makes the row or locks it, adds, and tells the balance: one round trip instead of three.
ADD_TO_BALANCE = """
INSERT INTO organization AS o (inn, balance) VALUES (%s, %s)
ON CONFLICT (inn) DO UPDATE SET balance = o.balance + excluded.balance RETURNING balance
"""
INSERT_LOG = """
INSERT INTO balance_log (inn, operation_id, amount, previous_balance, new_balance)
VALUES (%s, %s, %s, %s, %s)
"""


class App(faust.App):
    """Has one connection for as long as it runs: one agent makes one transaction at a time."""

    connection: psycopg.AsyncConnection

    async def on_start(self) -> None:
        """Connect before the first event."""
        self.connection = await psycopg.AsyncConnection.connect(os.environ["BENCH_DATABASE_URL"])
        await super().on_start()

    async def on_stop(self) -> None:
        """Close the connection after the last event."""
        await super().on_stop()
        await self.connection.close()


app = App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_KAFKA']}",
    store="memory://",
    datadir=os.environ["BENCH_FOLDER"],
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
)
journal = app.topic(os.environ["BENCH_TOPIC"], key_serializer="raw", value_serializer="raw")


@app.agent(journal)
async def apply(bodies: AsyncIterator[bytes]) -> None:
    """Apply each payment."""
    async for body in bodies:
        await record(decode(body))


async def record(payment: Payment) -> None:
    """One payment: one transaction, nothing when it was seen before."""
    inn, operation_id, amount = payment.payer_inn, payment.operation_id, payment.amount
    async with app.connection.transaction(), app.connection.cursor() as cursor:
        document = (payment.document_number, payment.document_date)
        await cursor.execute(INSERT_PAYMENT, (operation_id, inn, amount, *document))
        if cursor.rowcount == 0:
            return
        await cursor.execute(ADD_TO_BALANCE, (inn, amount))
        balance = (await cursor.fetchone())[0]
        await cursor.execute(INSERT_LOG, (inn, operation_id, amount, balance - amount, balance))
