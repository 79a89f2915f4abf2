"""The whole of Ostatok for a turn: one http process, one stream worker, a ledger of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import psycopg

from bench.applied import APPLY_SECONDS_MAX, PROGRESS
from bench.lab import OSTATOK, Lab
from ostatok.local.processes import environment_of
from ostatok_db.connection import conninfo

LOOK_SECONDS = 0.05


class System(NamedTuple):
    """A running system."""

    port: int
    pids: tuple[int, ...]
    """Of our own processes: http and stream."""
    database: str
    """Where its ledger is, for libpq."""

    async def applied(self, many: int) -> float:
        """Wait until so many records have their outcome; the ``time.perf_counter`` of it."""
        async with (
            await psycopg.AsyncConnection.connect(self.database, autocommit=True) as connection,
            asyncio.timeout(APPLY_SECONDS_MAX),
        ):
            while True:
                cursor = await connection.execute(PROGRESS)
                row = await cursor.fetchone()
                now = time.perf_counter()
                if row is not None and int(row[0] or 0) >= many:
                    return now
                await asyncio.sleep(LOOK_SECONDS)


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
        pids = []
        for name, port in ports.items():
            running = await lab.start(
                name, (*OSTATOK, name), environment, ready_port=port, ready_path="/readyz"
            )
            stopping.push_async_callback(lab.stop, running)
            pids.append(running.pid)
        yield System(settings.http_port, tuple(pids), conninfo(settings, name="bench"))
