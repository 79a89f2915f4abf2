"""How fast a rebuild makes a second ledger, against a worker that applies the same topic.

And how much memory that takes: the time of comparing, which Postgres does, is no part of it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from bench.applied import anew, applied_per_second, per_second, plain, reached
from bench.cli import main
from bench.lab import OSTATOK, Lab
from bench.memory import resident_mib
from bench.payments import Mix, fill
from bench.question import BATCH_RECORDS, Figure, Figures, Question, Sides, Size
from ostatok.local.parts import Running
from ostatok.local.processes import environment_of
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.migrate import adopt_topic, migrate, stored_offsets
from ostatok_db.second import Pair

PROGRESS = b'SELECT sum(next_offset) FROM "ostatok_rebuild".applied_offset'
TENTH = 10


@asynccontextmanager
async def against_stream(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: `ostatok rebuild` beside a ledger that is at rest, and a worker on an empty one."""
    mix = plain(size)
    live = await _live(lab, mix, size)

    async def ours() -> Figures:
        rebuilding = await _begin(lab, live)
        database = conninfo(live, name="bench")
        rate = await per_second(database, PROGRESS, mix.payments, [rebuilding])
        await _end(rebuilding)
        return {"rebuilt": rate}

    async def theirs() -> Figures:
        return {"rebuilt": await applied_per_second(lab, await anew(lab, live), mix.payments)}

    yield Sides(ours, theirs)


@asynccontextmanager
async def against_earlier(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: the memory of a rebuild at its end, and what it had after a tenth: one run."""
    mix = Mix(size.of(1_000_000, 20_000), size.of(10_000, 200))
    live = await _live(lab, mix, size)
    earlier: list[Figures] = []

    async def ours() -> Figures:
        rebuilding = await _begin(lab, live)
        async with await psycopg.AsyncConnection.connect(
            conninfo(live, name="bench"), autocommit=True
        ) as connection:
            seen = []
            for many in (mix.payments // TENTH, mix.payments):
                await reached(connection, PROGRESS, many, [rebuilding])
                seen.append({"memory": resident_mib(rebuilding.pid)})
        earlier.append(seen[0])
        await _end(rebuilding)
        return seen[1]

    async def theirs() -> Figures:
        return earlier.pop()

    yield Sides(ours, theirs)


async def _live(lab: Lab, mix: Mix, size: Size) -> Settings:
    """Fill a topic, and apply it."""
    live = await lab.new_settings(stream_batch_records_max=size.of(BATCH_RECORDS, 200))
    await asyncio.to_thread(fill, live, mix)
    await applied_per_second(lab, live, mix.payments)
    return live


async def _begin(lab: Lab, live: Settings) -> Running:
    """Start a rebuild from the first offset, its schema made before."""
    await asyncio.to_thread(_make_second, live)
    return await lab.start("rebuild", (*OSTATOK, "rebuild"), environment_of(live))


def _make_second(live: Settings) -> None:
    pair = Pair.connect(live)
    try:
        pair.drop(pair.second)
    finally:
        pair.close()
    stored = stored_offsets(live)
    second = live.model_copy(update={"database_schema": pair.second})
    migrate(second)
    adopt_topic(second, topic_id=stored[0][1], partitions=len(stored))


async def _end(rebuilding: Running) -> None:
    """See it end, which it does with 0 when it found the two ledgers the same."""
    await rebuilding.wait_success()


QUESTIONS = (
    Question(
        "rebuild",
        ours="a rebuild, beside a ledger that is at rest",
        against="one worker on an empty ledger",
        figures={"rebuilt": Figure("records rebuilt/s", "/s", at_least=1.0)},
        sides=against_stream,
    ),
    Question(
        "rebuild-memory",
        ours="a rebuild after 1,000,000 records",
        against="after the first 100,000",
        figures={"memory": Figure("memory (RSS) of a rebuild", "MiB", at_most=1.1)},
        sides=against_earlier,
        pairs_max=1,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
