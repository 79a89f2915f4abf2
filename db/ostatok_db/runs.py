"""Runs of the operators' commands: what ran, who ran it, and what came of it.

A run that is under way holds an advisory lock. It goes with the session that began it, so a reader
sees of a run without an end whether it still runs, on whatever machine; a pid would say so on its
own machine alone, and until another process has it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, LiteralString, get_args

import msgspec
import psycopg
from psycopg.rows import TupleRow

from ostatok.errors import LedgerError, LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import NOT_MIGRATED, map_error
from ostatok_db.pool import Connections
from ostatok_db.queries import queries
from ostatok_db.session import Session

Command = Literal[
    "audit",
    "audit --digest",
    "audit --against",
    "replay",
    "rebuild",
    "rebuild --drop",
    "reseed",
    "topic backup",
    "topic restore",
    "topic delete",
]
"""What leaves a row. An option that makes another thing of a command is part of the name: a digest
each night must not hide the last time that everything was compared."""

COMMANDS: Sequence[Command] = get_args(Command)

DOCUMENT_BYTES_MAX = 16 * 1024
"""Size of a run's result, and of its arguments, as JSON."""

TEXT_CHARACTERS_MAX = 1_000
"""Characters of any one text in them."""

RECENT_MAX = 1_000
"""Runs that are read at once, however many are asked for."""

STATEMENT_SECONDS_MAX = 5.0
"""How long a command waits for its row to be written: then it does without."""

LOCK_KEY = 0x72756E73
"""The first half of a run's advisory lock, "runs" in ASCII; the second is the run's number."""

_NO_RIGHT = "42501"
"""SQLSTATE insufficient_privilege."""


class Run(msgspec.Struct, frozen=True):
    """One run of a command."""

    id: int
    command: str
    """One of :data:`COMMANDS`; one of another version may be none of these."""
    arguments: Mapping[str, Any]
    """The options that were given, by name."""
    run_by: str
    """The system's user who ran it."""
    host: str
    started_at: datetime
    ended_at: datetime | None
    exit_status: int | None
    result: Mapping[str, Any] | None
    """What it came to: docs/recovery.md says what is in it."""
    running: bool
    """It is under way."""

    @property
    def lost(self) -> bool:
        """It is not under way, and did not say how it ended: killed, or cut off from Postgres."""
        return self.ended_at is None and not self.running


class Runs(Session):
    """A command's connection to note its run by. All raise LedgerError, and block for seconds."""

    name = "runs"
    writes = True
    statement_seconds_max = STATEMENT_SECONDS_MAX

    def __init__(self, connection: psycopg.Connection[TupleRow], settings: Settings) -> None:
        super().__init__(connection, settings)
        self._schema = settings.database_schema

    def begin(
        self, command: Command, arguments: Mapping[str, Any], *, run_by: str, host: str
    ) -> int:
        """Note that a command begins, and give the run's number.

        It counts as under way until this connection is closed.
        """
        which = {"topic": self._topic, "schema": self._schema, "command": command}
        who = {"run_by": _readable(run_by), "host": _readable(host)}
        try:
            with self._connection.transaction():
                ((run,),) = self._connection.execute(
                    queries["begin_run"], {**which, **who, "arguments": _json(arguments)}
                ).fetchall()
                # Before anybody can see the row: it never looks as if it had been lost.
                self._connection.execute(queries["hold_run"], {"key": LOCK_KEY, "id": run})
                self._connection.execute(queries["drop_old_runs"], which)
        except psycopg.Error as error:
            raise _refusal(error) from error
        return int(run)

    def end(self, run: int, exit_status: int, result: Mapping[str, Any]) -> None:
        """Note how a run ended; one that was dropped meanwhile stays so."""
        values = {"id": run, "exit_status": exit_status, "result": _json(result)}
        try:
            self._connection.execute(queries["end_run"], values)
        except psycopg.Error as error:
            raise _refusal(error) from error


class RunReader:
    """Runs on this ledger. All raise :class:`LedgerUnavailable`.

    One that ends in the moment in which it is read may seem lost: the next look is right. Read on a
    standby, each that is under way seems so, for its lock is the primary's.
    """

    def __init__(self, settings: Settings, pool: Connections) -> None:
        self._ledger = {
            "topic": settings.topic,
            "schema": settings.database_schema,
            "key": LOCK_KEY,
        }
        self._pool = pool

    async def last_of_each(self) -> list[Run]:
        """The last run of each command that ever ran, the latest first."""
        return await self._read(queries["read_last_runs"], {"commands": list(COMMANDS)})

    async def recent(self, limit: int) -> list[Run]:
        """The last runs, the latest first."""
        return await self._read(queries["read_recent_runs"], {"limit": min(limit, RECENT_MAX)})

    async def _read(self, query: LiteralString, values: Mapping[str, object]) -> list[Run]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, {**self._ledger, **values})
            return [Run(*row) for row in await cursor.fetchall()]


def _refusal(error: psycopg.Error) -> LedgerError:
    """Say what is missing: of the ledger's own tables it would mean something worse."""
    if error.sqlstate in NOT_MIGRATED:
        return LedgerUnavailable("Its table is not there yet; `ostatok migrate` makes it.")
    if error.sqlstate == _NO_RIGHT:
        return LedgerError(f"Postgres: {error.diag.message_primary}")
    return map_error(error)


def _json(document: Mapping[str, Any]) -> str:
    """Give a document as JSON of limited size: the longest lists in it lose their ends."""
    fitting = {name: _shortened(value) for name, value in document.items()}
    lists = [one for one in fitting.values() if isinstance(one, list)]
    while len(text := msgspec.json.encode(fitting)) > DOCUMENT_BYTES_MAX and any(lists):
        longest = max(lists, key=len)
        del longest[len(longest) // 2 :]
    return text.decode()


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return _readable(value)
    return [_shortened(one) for one in value] if isinstance(value, list | tuple) else value


def _readable(text: str) -> str:
    """Give what Postgres takes of a text: a name of a file may be no UTF-8."""
    kept = text[:TEXT_CHARACTERS_MAX].replace("\0", "�")
    return kept.encode("utf-8", "replace").decode()
