"""A connection to the ledger for one command: what those have in common."""

from typing import Any, LiteralString, Self

import msgspec
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads

from ostatok.settings import Settings
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.queries import queries


class Session:
    """A connection of its own. All methods block, and raise :class:`LedgerUnavailable`."""

    name = ""
    """What the server lists it as."""

    writes = False

    statement_seconds_max: float | None = None
    """How long one statement may take; None for as long as it needs."""

    def __init__(self, connection: psycopg.Connection[TupleRow], settings: Settings) -> None:
        """Work on an open connection; :meth:`connect` opens one."""
        self._connection = connection
        self._topic = settings.topic

    @classmethod
    def connect(cls, settings: Settings, **given: Any) -> Self:
        """Open one; what is ``given`` is the class's own."""
        with mapped_errors():
            connection = psycopg.connect(
                conninfo(
                    settings,
                    name=cls.name,
                    statement_seconds_max=cls.statement_seconds_max,
                    writes=cls.writes,
                ),
                autocommit=True,
                # Each statement is planned for the tables as they are now.
                prepare_threshold=None,
            )
        connection.read_only = not cls.writes
        set_json_loads(msgspec.json.decode, connection)
        return cls(connection, settings, **given)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def stored(self) -> dict[int, tuple[int, str]]:
        """Where the ledger stands: partition → (next offset, id of the topic)."""
        rows = self._rows(queries["read_offsets"], topic=self._topic)
        return {row[0]: (row[1], row[2]) for row in rows}

    def _rows(self, query: LiteralString, **values: Any) -> list[TupleRow]:
        with mapped_errors():
            return self._connection.execute(query, values).fetchall()
