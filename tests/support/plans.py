"""How much a statement reads, as Postgres counts it."""

import psycopg
from psycopg.rows import TupleRow

KEPT_AFTER = 12
"""Runs after which psycopg has a statement prepared (5), and Postgres keeps its plan (5 more)."""
ROWS_READ = """
SELECT max(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class
WHERE relname ~ '^(payment|organization|balance_log|duplicate|dead_letter)'
      AND relkind IN ('r', 'i')
"""
"""How many rows were read of the table or index, of those that grow, that was read most."""


async def count_anew(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    """Let the session hand on what it counted; what it says after this is of what comes after."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.commit()


async def rows_read(connection: psycopg.AsyncConnection[TupleRow]) -> int:
    """How many rows the transaction has read of the table or index that it read most."""
    cursor = await connection.execute(ROWS_READ)
    (row,) = await cursor.fetchall()
    return int(row[0])
