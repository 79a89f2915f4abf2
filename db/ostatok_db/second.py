"""A second ledger of the same topic, in a schema beside the live one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, LiteralString, Self

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ostatok.errors import LedgerError
from ostatok.settings import Settings
from ostatok_db.batch import Position
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.queries import queries

TABLES = (
    "applied_offset",
    "organization",
    "balance_log",
    "payment",
    "duplicate",
    "dead_letter",
    "replayed",
)
"""In the order in which every statement of ours locks those that it needs."""

LOCK_SECONDS_MAX = 5
"""How long a swap waits for a batch or a read that is under way."""

FOUND_MAX = 1_000
HELD_BACK_AT_ONCE = 5_000


class Difference(msgspec.Struct, frozen=True):
    """One thing that the live ledger and the second one do not have alike."""

    inn: str
    kind: str
    what: str


class Pair:
    """The live ledger and a second one. All block; all raise :class:`LedgerError`."""

    def __init__(self, connection: psycopg.Connection[TupleRow], live: str, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self.live = live
        self.second = f"{live}_rebuild"
        self.before = f"{live}_before"

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Open a connection of its own, which sees the live one."""
        with mapped_errors():
            target = conninfo(settings, name="rebuild", writes=True)
            connection = psycopg.connect(target, autocommit=True, prepare_threshold=None)
            return cls(connection, settings.database_schema, settings.topic)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def require_no_before(self) -> None:
        """Raise when the place is taken where a swap puts the live one."""
        with mapped_errors():
            found = self._connection.execute(
                "SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.before,)
            )
            if found.fetchone():
                raise LedgerError(
                    f"The schema {self.before} is there, of an earlier swap with --keep.",
                    hint=f'DROP SCHEMA "{self.before}" CASCADE once you do not need it.',
                )

    def drop(self, schema: str) -> None:
        """Drop a schema and all that is in it; one that is not there is none to drop."""
        with mapped_errors():
            statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            self._connection.execute(statement.format(sql.Identifier(schema)))

    def disputed(self) -> dict[str, int]:
        """Operations that came in several partitions → that of the record that counts."""
        return dict(self._of_both(queries["disputed_operations"]))

    def held_back(self) -> Iterator[list[Position]]:
        """Where the other records of those are that the second ledger has gone past, many at once.

        Each once, whether it is given its outcome meanwhile or not.
        """
        after = (-1, -1)
        while rows := self._of_both(
            queries["held_back"], partition=after[0], offset=after[1], limit=HELD_BACK_AT_ONCE
        ):
            yield rows
            after = rows[-1]

    def forget_replayed(self) -> None:
        """Let the second ledger know no replay: what was applied last there changed no log."""
        with mapped_errors():
            statement = sql.SQL("DELETE FROM {}").format(sql.Identifier(self.second, "replayed"))
            self._connection.execute(statement)

    def stored(self) -> dict[int, tuple[int, str]]:
        """Where the live one stands: partition → (next offset, id of the topic)."""
        with mapped_errors():
            rows = self._connection.execute(queries["read_offsets"], {"topic": self._topic})
            return {row[0]: (row[1], row[2]) for row in rows.fetchall()}

    def offsets(self) -> tuple[dict[int, int], dict[int, int]]:
        """How far the live one is, and how far the second."""
        return self._offsets(self.live), self._offsets(self.second)

    def differences(self) -> list[Difference]:
        """What they do not have alike, of what the second has come to."""
        return [Difference(*row) for row in self._of_both(queries["differences"], limit=FOUND_MAX)]

    def swap(self, catch_up: Callable[[Mapping[int, int]], None]) -> bool:
        """Put the second in the place of the live one, in one transaction.

        ``catch_up(offsets)`` brings the second up to where the live one is, while nobody can move
        that. False, and nothing changed, when a lock could not be had in time.
        """
        connection = self._connection
        try:
            with mapped_errors(), connection.transaction():
                connection.execute(
                    sql.SQL("SET LOCAL lock_timeout = {}").format(f"{LOCK_SECONDS_MAX}s")
                )
                self._lock(self.live)
                catch_up(self._offsets(self.live))
                self._lock(self.second)
                live, second = self.offsets()
                _require_equal(live, second)
                for old, new in ((self.live, self.before), (self.second, self.live)):
                    rename = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
                    connection.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
        except LedgerError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        return True

    def _of_both(self, query: LiteralString, **values: Any) -> list[TupleRow]:
        names = {"live": sql.Identifier(self.live), "second": sql.Identifier(self.second)}
        statement = sql.SQL(query).format(**names)
        with mapped_errors():
            return self._connection.execute(statement, {"topic": self._topic, **values}).fetchall()

    def _lock(self, schema: str) -> None:
        tables = sql.SQL(", ").join(sql.Identifier(schema, table) for table in TABLES)
        statement = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables)
        self._connection.execute(statement)

    def _offsets(self, schema: str) -> dict[int, int]:
        statement = sql.SQL("SELECT partition, next_offset FROM {} WHERE topic = {}").format(
            sql.Identifier(schema, "applied_offset"), self._topic
        )
        with mapped_errors():
            return dict(self._connection.execute(statement).fetchall())


def _require_equal(live: Mapping[int, int], second: Mapping[int, int]) -> None:
    if live != second:
        raise LedgerError(f"The second ledger is at {second}, the live one at {live}.")
