"""The audit trail: what was denied, and what was done; by whom, and from where.

A table that is only added to. What somebody does has its row before it is done, or in one
transaction with it; a row ``failed`` after that says that nothing came of it, or nobody knows what.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import psycopg
from psycopg.rows import TupleRow

from ostatok_db.connection import service_errors
from ostatok_db.pool import Connections
from ostatok_db.queries import queries
from ostatok_db.session import Session

Kind = Literal["denied", "done", "failed"]

TEXT_CHARACTERS_MAX = 200
"""Characters of any text of a row; the rest of a longer one is not kept."""

STATEMENT_SECONDS_MAX = 5.0


class Trailed(msgspec.Struct, frozen=True):
    """One row of the trail."""

    kind: Kind
    action: str
    """What was done; of a denial the door, which is the name of what was asked."""
    who: str
    """As the trail names somebody: ``anna``, ``token crm``; empty for nobody known."""
    client: str
    """The address that asked, or the machine that a command ran on."""
    about: str = ""
    """What it was done to: a dead letter's position, a token's id."""
    reason: str = ""
    """Why it was denied, or failed."""
    request_id: str = ""
    """Of several denials the first one's."""
    times: int = 1
    first_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    last_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    id: int = 0
    """Its number in the order of writing; 0 before it is written."""


class TrailFilter(msgspec.Struct, frozen=True):
    """Which rows; None for all."""

    since: datetime | None = None
    until: datetime | None = None
    kind: Kind | None = None
    action: str | None = None
    who: str | None = None
    """Part of who, in any case."""


def note(connection: psycopg.Connection[TupleRow], *rows: Trailed) -> None:
    """Add rows, in the caller's transaction if there is one; the caller maps what it raises."""
    with connection.cursor() as cursor:
        cursor.executemany(queries["add_to_trail"], list(map(_values, rows)))


class TrailStore:
    """The trail, for a service. All raise :class:`LedgerUnavailable`."""

    def __init__(self, writes: Connections) -> None:
        """Write by these connections, which are of a primary."""
        self._writes = writes

    async def add(self, rows: Sequence[Trailed]) -> None:
        """Add rows, all or none; an error of the connection may mean that they were added."""
        async with (
            self._writes.connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            await cursor.executemany(queries["add_to_trail"], list(map(_values, rows)))


class TrailReader:
    """The trail, for who looks it up page by page. All raise :class:`LedgerUnavailable`."""

    def __init__(self, reads: Connections) -> None:
        self._reads = reads

    async def page(
        self, which: TrailFilter, limit: int, before: int | None = None
    ) -> list[Trailed]:
        """Give some rows, the latest first: those before the row of that id, or the last ones."""
        async with self._reads.connection() as connection:
            cursor = await connection.execute(queries["read_trail"], _asked(which, limit, before))
            return list(map(_row, await cursor.fetchall()))


class TrailSession(Session):
    """The trail, for a command. All block, and raise :class:`LedgerUnavailable`."""

    name = "trail"
    writes = True
    statement_seconds_max = STATEMENT_SECONDS_MAX

    def add(self, *rows: Trailed) -> None:
        """Add rows, all or none."""
        with service_errors(), self._connection.transaction():
            note(self._connection, *rows)

    def find(self, which: TrailFilter, limit: int) -> list[Trailed]:
        """Give the last of those that are wanted, the latest last."""
        with service_errors():
            rows = self._connection.execute(queries["read_trail"], _asked(which, limit, None))
            return list(map(_row, rows.fetchall()))[::-1]


def readable(text: str) -> str:
    """Give what Postgres takes of a text and a terminal shows as one line, of limited length."""
    kept = text[:TEXT_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    return "".join(one if one.isprintable() else "�" for one in kept)


def _values(row: Trailed) -> dict[str, Any]:
    values = msgspec.structs.asdict(row)
    return {
        name: readable(value) if isinstance(value, str) else value for name, value in values.items()
    }


def _asked(which: TrailFilter, limit: int, before: int | None) -> dict[str, Any]:
    return {**msgspec.structs.asdict(which), "limit": limit, "before": before}


_READ = ("id", *(name for name in Trailed.__struct_fields__ if name != "id"))


def _row(row: TupleRow) -> Trailed:
    return msgspec.convert(dict(zip(_READ, row, strict=True)), Trailed)
