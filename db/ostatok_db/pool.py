"""The connections that a process reads the ledger by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import USE_SCHEMA, conninfo, mapped_errors, service_errors

WAITING_MAX = 1_000
"""Reads that may wait for a connection; the next one is told at once that there is none."""

RECONNECT_SECONDS_MAX = 3.0

WRITE_CONNECTIONS = 2
"""What the service writes itself is little, and short."""


class PoolUse(msgspec.Struct, frozen=True):
    """How much of a pool is in use now, and how long was waited for it since it was made."""

    connections: int
    idle: int
    connections_max: int
    waiting: int
    """Reads that wait for a connection."""
    waited_seconds: float
    """Of all reads that had to wait, also of those that got none in the end."""
    refused: int
    """Reads that got none: they waited too long, or too many did."""


class Connections(Protocol):
    """Connections that reads can borrow."""

    def connection(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection[TupleRow]]:
        """Lend one. Raises :class:`LedgerUnavailable`, for what is asked of it too."""
        ...


class Pool:
    """Connections to read by, as many as the setting says."""

    name = "http"
    """What the server lists them as."""
    writes = False
    connections_min = 1
    errors = staticmethod(mapped_errors)

    def __init__(self, settings: Settings, connections: int | None = None) -> None:
        self._settings = settings
        by_session = not settings.database_pgbouncer
        self._pool = AsyncConnectionPool(
            conninfo(
                settings,
                name=self.name,
                statement_seconds_max=settings.database_timeout_seconds,
                writes=self.writes,
            )
            if by_session
            else settings.database_conninfo,
            min_size=self.connections_min,
            max_size=connections or settings.database_pool_connections,
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

    def use(self) -> PoolUse:
        """Say how much of it is in use. Asks nobody."""
        found = self._pool.get_stats()
        return PoolUse(
            connections=found["pool_size"],
            idle=found["pool_available"],
            connections_max=found["pool_max"],
            waiting=found["requests_waiting"],
            waited_seconds=found.get("requests_wait_ms", 0) / 1000,
            refused=found.get("requests_errors", 0),
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """Lend a connection. Raises :class:`LedgerUnavailable`, for what is asked of it too.

        Also when it answers nothing for too long: it must give its place back, or a few of them
        end all reads.
        """
        try:
            with self.errors():
                async with (
                    asyncio.timeout(2 * self._settings.database_timeout_seconds),
                    self._pool.connection() as connection,
                ):
                    if not self._settings.database_pgbouncer:
                        yield connection
                        return
                    async with connection.transaction():
                        schema = self._settings.database_schema
                        await connection.execute(USE_SCHEMA, {"schema": schema})
                        yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise LedgerUnavailable(f"Postgres: {error}") from error
        except TimeoutError:
            raise LedgerUnavailable("The database does not answer.") from None


class WritePool(Pool):
    """Connections by which http writes what belongs to no ledger: to ``ostatok_service``.

    Few, of which none is open before the first is asked for, and apart from the reads': neither
    waits for the other. A statement names its schema, so a pool does for any. Each is a transaction
    of its own; who needs several in one says ``async with connection.transaction()``. Raises
    :class:`LedgerUnavailable` for a table or a right that is missing too: whoever asks has to wait
    until the operator has given it.
    """

    name = "http writes"
    writes = True
    connections_min = 0
    errors = staticmethod(service_errors)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, WRITE_CONNECTIONS)
        self._is_open = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """Lend a connection. Raises :class:`LedgerUnavailable`, for what is asked of it too."""
        if not self._is_open:
            self._is_open = True
            await self.open()
        async with super().connection() as connection:
            yield connection


class Share:
    """Half of a pool's connections: who reads by it leaves the others to others."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self._seconds = settings.database_timeout_seconds
        self._free = asyncio.Semaphore(settings.database_pool_connections // 2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """Lend a connection, in turn. Raises :class:`LedgerUnavailable`."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise LedgerUnavailable("Too much of this kind is asked of the database.") from None
        try:
            async with self._pool.connection() as connection:
                yield connection
        finally:
            self._free.release()
