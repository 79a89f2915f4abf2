"""Reading the ledger, apart from writing it: what the balance endpoint asks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.queries import queries

WAITING_MAX = 1_000
"""Reads that may wait for a connection; the next one is told at once that there is none."""


RECONNECT_SECONDS_MAX = 3.0

_USE_SCHEMA = "SELECT set_config('search_path', %(schema)s, true)"


class Standing(msgspec.Struct, frozen=True):
    """What the ledger says of an INN, and how far it has read the INN's partition."""

    inn: str
    balance: Decimal | None
    """Rubles; None when the INN never paid."""
    next_offset: int
    """Every record of the INN's partition below this has its outcome."""


class Reader:
    """A pool of read-only connections. Every method raises :class:`LedgerUnavailable`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # PgBouncer in transaction mode gives each transaction another session: nothing that lasts
        # longer can be asked of it, neither options nor prepared statements.
        by_session = not settings.database_pgbouncer
        self._pool = AsyncConnectionPool(
            conninfo(
                settings,
                name="http",
                statement_seconds_max=settings.database_timeout_seconds,
            )
            if by_session
            else settings.database_conninfo,
            min_size=1,
            max_size=settings.database_pool_connections,
            max_waiting=WAITING_MAX,
            # The pool waits twice as long after each failed try. Once it has given up, the next
            # read tries at once: a database that is back is found when somebody asks.
            reconnect_timeout=RECONNECT_SECONDS_MAX,
            timeout=settings.database_timeout_seconds,
            kwargs={"autocommit": True, "prepare_threshold": 2 if by_session else None},
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Of each (INN, its partition) the standing, in the order asked, in one snapshot."""
        inns = [inn for inn, _ in asked]
        values = {
            "topic": self._settings.topic,
            "inns": inns,
            "partitions": [partition for _, partition in asked],
        }
        async with self._connection() as connection:
            cursor = await connection.execute(queries["read_standings"], values)
            rows = await cursor.fetchall()
        return [Standing(inn, row[0], row[1]) for inn, row in zip(inns, rows, strict=True)]

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Where the ledger stands: partition → (next offset, id of the topic).

        Empty before ``ostatok migrate``.
        """
        async with self._connection() as connection:
            cursor = await connection.execute(
                queries["read_offsets"], {"topic": self._settings.topic}
            )
            return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}

    async def partitions(self) -> int:
        """How many partitions the journal has."""
        partitions = len(await self.offsets())
        if not partitions:
            raise LedgerUnavailable(
                f"The ledger knows no topic {self._settings.topic}.", hint="Run `ostatok migrate`."
            )
        return partitions

    async def check(self) -> None:
        """Return when database and schema are there."""
        await self.partitions()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        try:
            with mapped_errors():
                async with self._pool.connection() as connection:
                    if not self._settings.database_pgbouncer:
                        yield connection
                        return
                    async with connection.transaction():
                        schema = self._settings.database_schema
                        await connection.execute(_USE_SCHEMA, {"schema": schema})
                        yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise LedgerUnavailable(f"Postgres: {error}") from error
