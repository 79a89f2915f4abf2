"""Reading what was: the entries of an INN's log, balances of the past, an operation's records."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import LiteralString

import msgspec
from psycopg.rows import TupleRow

from ostatok.errors import LedgerCorrupt
from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_db.pool import Connections
from ostatok_db.queries import queries

REPEATS_MAX = 100
"""Repeats, and as many dead records, of one operation that are given: the earliest."""

PAGE_ENTRIES = 1_000
"""Entries that are read at once, however many are asked for."""


class LogEntry(msgspec.Struct, frozen=True):
    """One change of a balance, with the payment that made it. Money is rubles."""

    entry: int
    """Its number in the INN's log, from 1 without a hole."""
    operation_id: str
    amount: Decimal
    previous_balance: Decimal
    new_balance: Decimal
    created_at: datetime
    document_number: str
    document_date: datetime
    partition: int
    offset: int
    received_at: datetime


class Point(msgspec.Struct, frozen=True):
    """A place in an INN's log: behind an entry, or before the first."""

    entry: int
    """The last entry before it; 0 for none."""
    balance: Decimal


class OperationRecord(msgspec.Struct, frozen=True):
    """One record of an operation, with its outcome; None where that outcome has no such thing."""

    outcome: Outcome
    partition: int
    offset: int
    inn: str | None
    source: str | None
    request_id: str | None
    received_at: datetime
    amount: Decimal | None = None
    document_number: str | None = None
    document_date: datetime | None = None
    differences: Mapping[str, Mapping[str, str]] | None = None
    reason: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What became of one record; of a conflict, the fields that differ."""

    outcome: Outcome
    differences: Mapping[str, Mapping[str, str]] | None


class History:
    """The past, by looking up what is numbered. All raise :class:`LedgerUnavailable`."""

    def __init__(self, settings: Settings, pool: Connections) -> None:
        self._topic = settings.topic
        self._pool = pool

    async def records_of(self, operation_id: str) -> list[OperationRecord]:
        """Every record of an operation that has its outcome, the applied one first."""
        values = {"operation_id": operation_id, "limit": REPEATS_MAX}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_records_of"], values)
            rows = await cursor.fetchall()
        return [OperationRecord(Outcome(outcome), *row) for outcome, *row in rows]

    async def outcome_at(self, partition: int, offset: int) -> Verdict | None:
        """What became of the record at a position; None when it has no outcome yet."""
        values = {"topic": self._topic, "partition": partition, "offset": offset}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_outcome"], values)
            row = await cursor.fetchone()
        return None if row is None else Verdict(Outcome(row[0]), row[1])

    async def before(self, inn: str, moment: datetime) -> Point | None:
        """Where an INN's log stood just before a moment; None for an INN that never paid."""
        return await self._point(
            queries["find_entry_before_moment"], {"inn": inn, "moment": moment}
        )

    async def has_replayed(self, inn: str) -> bool:
        """Whether a replay added to an INN's log: :meth:`at_offset` is wrong about it then."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["has_replayed"], {"inn": inn})
            ((found,),) = await cursor.fetchall()
        return bool(found)

    async def at_offset(self, inn: str, offset: int) -> Point | None:
        """Where an INN's log stood behind the record at an offset of its partition."""
        row = await self._up_to_offset(inn, offset)
        return None if row is None else Point(*row[:2])

    async def entry_of(self, paid: OperationRecord, operation_id: str) -> LogEntry:
        """The entry that an applied record made."""
        inn = paid.inn or ""
        row = await self._up_to_offset(inn, paid.offset)
        if row is not None:
            entry, _, found, *rest = row
            if found == operation_id:
                return LogEntry(entry, found, *rest)
        # A replay added it late.
        return (await self._entry_by_itself(inn, operation_id))[0]

    async def _up_to_offset(self, inn: str, offset: int) -> TupleRow | None:
        values = {"inn": inn, "offset": offset}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["find_entry_up_to_offset"], values)
            return await cursor.fetchone()

    async def _entry_by_itself(self, inn: str, operation_id: str) -> list[LogEntry]:
        async with self._pool.connection() as connection:
            values = {"inn": inn, "operation_id": operation_id}
            cursor = await connection.execute(queries["find_entry_of"], values)
            row = await cursor.fetchone()
        if row is None:
            raise LedgerCorrupt(f"Operation {operation_id} is a payment without a log entry.")
        return await self.entries(inn, row[0], row[0])

    async def last(self, inn: str) -> Point | None:
        """Where an INN's log stands now; None for an INN that never paid."""
        return await self._point(queries["read_organization"], {"inn": inn})

    async def entries(self, inn: str, first: int, last: int) -> list[LogEntry]:
        """The entries of an INN with these numbers, both included, in order."""
        values = {"inn": inn, "first": first, "last": last}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_entries"], values)
            return [LogEntry(*row) for row in await cursor.fetchall()]

    async def pages(self, inn: str, first: int, last: int) -> AsyncIterator[list[LogEntry]]:
        """Give the same in pages, so that any number of them fits into memory.

        An entry never changes, so the pages fit together without a transaction around them.
        """
        for at in range(first, last + 1, PAGE_ENTRIES):
            yield await self.entries(inn, at, min(last, at + PAGE_ENTRIES - 1))

    async def _point(self, query: LiteralString, values: Mapping[str, object]) -> Point | None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, values)
            row = await cursor.fetchone()
        return None if row is None else Point(*row)
