"""The whole of Ostatok for a turn: one http process, one stream worker, a ledger of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import psycopg

from bench.applied import APPLY_SECONDS_MAX, PROGRESS, reached
from bench.lab import OSTATOK, Lab
from ostatok.local.parts import Running
from ostatok.local.processes import environment_of
from ostatok_db.connection import conninfo


class System(NamedTuple):
    """A running system."""

    port: int
    running: tuple[Running, ...]
    """Our own processes: http and stream."""
    database: str
    """Where its ledger is, for libpq."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Of our own processes: http and stream."""
        return tuple(one.pid for one in self.running)

    async def applied(self, many: int) -> float:
        """Wait until so many records have their outcome; the ``time.perf_counter`` of it."""
        async with (
            await psycopg.AsyncConnection.connect(self.database, autocommit=True) as connection,
            asyncio.timeout(APPLY_SECONDS_MAX),
        ):
            _, now = await reached(connection, PROGRESS, many, self.running)
            return now


@asynccontextmanager
async def whole_system(lab: Lab) -> AsyncIterator[System]:
    """Run it from when both parts are ready, on a topic and a ledger that are empty.

    The ledger ends with it.
    """
    settings = await lab.new_settings()
    environment = environment_of(settings)
    ports = {"http": settings.http_port, "stream": settings.stream_metrics_port}
    async with AsyncExitStack() as stopping:
        stopping.callback(lab.drop_database, settings.database_url.get_secret_value())
        started = []
        for name, port in ports.items():
            running = await lab.start(
                name, (*OSTATOK, name), environment, ready_port=port, ready_path="/readyz"
            )
            stopping.push_async_callback(lab.stop, running)
            started.append(running)
        yield System(settings.http_port, tuple(started), conninfo(settings, name="bench"))
