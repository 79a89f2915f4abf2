"""How fast a worker applies what lies in the topic, against COPY of the very same rows."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg

from bench.cli import main
from bench.lab import OSTATOK, Lab
from bench.payments import Mix, fill
from bench.question import BATCH_RECORDS, Figure, Figures, Question, Sides, Size
from ostatok.local.parts import Running
from ostatok.local.ports import free_port
from ostatok.local.processes import environment_of
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

LOOK_SECONDS = 0.02
APPLY_SECONDS_MAX = 300.0
PROGRESS = b"SELECT (SELECT sum(next_offset) FROM applied_offset)"
"""How many records of our topic have their outcome."""
COLUMNS = {
    "payment": "operation_id, inn, amount, document_number, document_date, source, request_id, "
    'topic, partition, "offset", received_at',
    "balance_log": "inn, entry, operation_id, amount, previous_balance, new_balance, created_at, "
    "link",
}


async def applied_per_second(
    lab: Lab, settings: Settings, payments: int, *, workers: int = 1, before: int = 0
) -> float:
    """Start workers on a full topic and time it from the first batch to the last.

    ``before`` records have their outcome already.
    """
    started = []
    for _ in range(workers):
        own = settings.model_copy(update={"stream_metrics_port": free_port()})
        started.append(await lab.start("stream", (*OSTATOK, "stream"), environment_of(own)))
    try:
        database = conninfo(settings, name="bench")
        return await per_second(database, b"%s - %d" % (PROGRESS, before), payments, started)
    finally:
        for running in started:
            await lab.stop(running)


async def per_second(
    database: str, progress: bytes, many: int, running: Sequence[Running]
) -> float:
    """Time processes from their first batch, which is not counted, until so many are applied.

    ``progress`` is SQL that gives how many are.
    """
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        asyncio.timeout(APPLY_SECONDS_MAX),
    ):
        first, since = await reached(connection, progress, 1, running)
        assert first < many, f"{many} at one stroke: that is too few to time."
        last, until = await reached(connection, progress, many, running)
    return (last - first) / (until - since)


async def reached(
    connection: psycopg.AsyncConnection, progress: bytes, many: int, running: Sequence[Running]
) -> tuple[int, float]:
    """Wait until so many are applied; give how many are, and when it was seen."""
    while True:
        cursor = await connection.execute(progress)
        row = await cursor.fetchone()
        now = time.perf_counter()
        if row is not None and int(row[0] or 0) >= many:
            return int(row[0]), now
        for one in running:
            assert one.exit_code is None, f"A worker ended by itself:\n{one.last_lines()}"
        await asyncio.sleep(LOOK_SECONDS)


def copied_per_second(settings: Settings, rows: "Rows", commit: int) -> float:
    """COPY the rows into an empty ledger's tables, so many payments in a commit. Blocks."""
    with psycopg.connect(conninfo(settings, name="bench", writes=True)) as connection:
        started = time.perf_counter()
        for at in range(0, rows.payments, commit):
            for table, lines in rows.lines.items():
                with (
                    connection.cursor() as cursor,
                    cursor.copy(f"COPY {table} ({COLUMNS[table]}) FROM STDIN".encode()) as copy,
                ):
                    copy.write(b"".join(lines[at : at + commit]))
            connection.commit()
        return rows.payments / (time.perf_counter() - started)


class Rows:
    """A ledger's payments and log entries as lines of COPY, in the order they were applied."""

    def __init__(self, settings: Settings) -> None:
        self.lines: dict[str, list[bytes]] = {}
        with psycopg.connect(conninfo(settings, name="bench")) as connection:
            for table, columns in COLUMNS.items():
                with (
                    connection.cursor() as cursor,
                    # In the order of the table itself, which is the order they came in.
                    cursor.copy(f"COPY {table} ({columns}) TO STDOUT".encode()) as copy,
                ):
                    self.lines[table] = b"".join(copy).splitlines(keepends=True)
        self.payments = len(self.lines["payment"])


def against_copy(
    mix_of: Callable[[Size], Mix], workers: int = 1
) -> Callable[[Lab, Size], AbstractAsyncContextManager[Sides]]:
    """Sides: our workers on a topic, and COPY of the rows they made."""

    @asynccontextmanager
    async def sides(lab: Lab, size: Size) -> AsyncIterator[Sides]:
        mix = mix_of(size)
        batch = size.of(BATCH_RECORDS, 200)
        source = await lab.new_settings(stream_batch_records_max=batch)
        await asyncio.to_thread(fill, source, mix)
        rows: list[Rows] = []

        async def ours() -> Figures:
            settings = await anew(lab, source)
            rate = await applied_per_second(lab, settings, mix.payments, workers=workers)
            if not rows:
                rows.append(await asyncio.to_thread(Rows, settings))
            return {"applied": rate}

        async def theirs() -> Figures:
            settings = await anew(lab, source)
            rate = await asyncio.to_thread(copied_per_second, settings, rows[0], batch)
            return {"applied": rate}

        yield Sides(ours, theirs)

    return sides


async def anew(lab: Lab, source: Settings, **given: Any) -> Settings:
    """An empty ledger for a topic that is there, and a group of its own."""
    kept = {
        "topic": source.topic,
        "stream_group": f"group-{lab.number()}",
        "stream_batch_records_max": source.stream_batch_records_max,
    }
    return await lab.new_settings(**{**kept, **given})


def plain(size: Size) -> Mix:
    """The plain case."""
    return Mix(size.of(200_000, 4_000), size.of(10_000, 200))


QUESTIONS = (
    Question(
        "applied",
        ours="one worker, two transactions at once, chain and all",
        against="COPY of the same rows into the same tables, one connection",
        figures={"applied": Figure("payments applied/s", "/s", at_least=0.4)},
        sides=against_copy(plain),
    ),
    Question(
        "applied-two",
        ours="two workers",
        against="COPY of the same rows into the same tables, one connection",
        figures={"applied": Figure("payments applied/s", "/s", at_least=0.65)},
        sides=against_copy(plain, workers=2),
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
