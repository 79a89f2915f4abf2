"""The job with Quix Streams: a BatchingSink of its own, which writes when a checkpoint is made.

As https://quix.io/docs/quix-streams/connectors/sinks/custom-sinks.html has a sink for a database,
and with psycopg2's ``execute_values``, as the PostgreSQL sink that comes with Quix Streams has it.
That sink only inserts into one table, so it can't keep balances.
"""

import os

import psycopg2
from ledger import Payment, decode, log_rows, sums
from psycopg2.extras import execute_values, register_uuid
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

PAGE_ROWS = 1_000
INSERT_PAYMENTS = """
INSERT INTO payment (operation_id, inn, amount, document_number, document_date)
VALUES %s ON CONFLICT (operation_id) DO NOTHING RETURNING operation_id
"""
ADD_TO_BALANCES = """
INSERT INTO organization AS o (inn, balance) VALUES %s
ON CONFLICT (inn) DO UPDATE SET balance = o.balance + excluded.balance RETURNING inn, balance
"""
INSERT_LOG = """
INSERT INTO balance_log (inn, operation_id, amount, previous_balance, new_balance) VALUES %s
"""


class LedgerSink(BatchingSink):
    """Writes what came of a partition since the last checkpoint, in one transaction."""

    def setup(self) -> None:
        """Connect. The application calls it once."""
        register_uuid()
        self._connection = psycopg2.connect(os.environ["BENCH_DATABASE_URL"])

    def write(self, batch: SinkBatch) -> None:
        """Apply a partition's payments."""
        payments = [item.value for item in batch]
        with self._connection, self._connection.cursor() as cursor:
            new = _new(cursor, payments)
            added = list(sums(new).items())
            found = execute_values(cursor, ADD_TO_BALANCES, added, page_size=PAGE_ROWS, fetch=True)
            rows = log_rows(new, dict(found))
            execute_values(cursor, INSERT_LOG, rows, page_size=PAGE_ROWS)


def _new(cursor: psycopg2.extensions.cursor, payments: list[Payment]) -> list[Payment]:
    """Record the payments, and give those that were not there yet."""
    rows = [
        (one.operation_id, one.payer_inn, one.amount, one.document_number, one.document_date)
        for one in payments
    ]
    inserted = {
        row[0]
        for row in execute_values(cursor, INSERT_PAYMENTS, rows, page_size=PAGE_ROWS, fetch=True)
    }
    first = {}
    for one in payments:
        if one.operation_id in inserted:
            first.setdefault(one.operation_id, one)
    return list(first.values())


def main() -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=os.environ["BENCH_KAFKA"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_every=int(os.environ["BENCH_BATCH"]),
        state_dir=os.environ["BENCH_FOLDER"],
        loglevel="WARNING",
    )
    topic = app.topic(os.environ["BENCH_TOPIC"], value_deserializer="bytes")
    payments = app.dataframe(topic).apply(decode)
    payments.sink(LedgerSink())
    app.run()


if __name__ == "__main__":
    main()
