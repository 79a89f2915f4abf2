"""How much memory the processes hold after many payments, against after the first of them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import psycopg

from bench.applied import APPLY_SECONDS_MAX, PROGRESS, reached
from bench.cli import main
from bench.lab import OSTATOK, Lab
from bench.load import Job, load, post, write_jobs
from bench.payments import Mix, bodies
from bench.question import Figure, Figures, Question, Sides, Size
from bench.webhooks import CONNECTIONS, PATH, all_200
from ostatok.local.parts import Running
from ostatok.local.processes import environment_of
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

POSTS = 10
"""A tenth is posted at a time: the first one is what the rest is measured against."""


@asynccontextmanager
async def against_earlier(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: one http and one stream after all payments, and the same processes after a tenth.

    So the two are one run: ours makes it, theirs gives what was seen on the way.
    """
    mix = Mix(size.of(1_000_000, 5_000), size.of(10_000, 200))
    earlier: list[Figures] = []

    async def ours() -> Figures:
        settings = await lab.new_settings()
        webhooks = bodies(mix)
        part = mix.payments // POSTS
        async with _system(lab, settings) as (http, stream):
            for number in range(POSTS):
                await _post(lab, settings, list(islice(webhooks, part)))
                if number == 0:
                    await _applied(settings, part, stream)
                    earlier.append(_resident(http, stream))
            await _applied(settings, mix.payments, stream)
            return _resident(http, stream)

    async def theirs() -> Figures:
        return earlier.pop()

    yield Sides(ours, theirs)


@asynccontextmanager
async def _system(lab: Lab, settings: Settings) -> AsyncIterator[tuple[Running, Running]]:
    """Run one http and one stream."""
    started: list[Running] = []
    ports = {"http": settings.http_port, "stream": settings.stream_metrics_port}
    try:
        for name, port in ports.items():
            argv, environment = (*OSTATOK, name), environment_of(settings)
            running = await lab.start(
                name, argv, environment, ready_port=port, ready_path="/readyz"
            )
            started.append(running)
        yield started[0], started[1]
    finally:
        for running in started:
            await lab.stop(running)


async def _post(lab: Lab, settings: Settings, webhooks: list[tuple[str, bytes]]) -> None:
    """Post webhooks as fast as they are taken, and see that all are."""
    jobs: Iterator[Job] = (Job([post(PATH, body)]) for _, body in webhooks)
    file: Path = await asyncio.to_thread(write_jobs, lab.folder / "webhooks", jobs)
    result = await load(settings.http_port, file, connections=CONNECTIONS)
    assert all_200(result) == len(webhooks)


async def _applied(settings: Settings, many: int, stream: Running) -> None:
    """Wait until the worker has applied so many: then both processes have nothing in hand."""
    database = conninfo(settings, name="bench")
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        asyncio.timeout(APPLY_SECONDS_MAX),
    ):
        await reached(connection, PROGRESS, many, [stream])


def _resident(http: Running, stream: Running) -> Figures:
    """The resident memory of both, MiB. Linux says it under /proc."""
    return {name: _resident_mib(one.pid) for name, one in (("http", http), ("worker", stream))}


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"Process {pid} has no memory: it ended.")


QUESTIONS = (
    Question(
        "memory",
        ours="after 1,000,000 payments",
        against="after the first 100,000",
        figures={
            "http": Figure("memory (RSS) of http", "MiB", at_most=1.1),
            "worker": Figure("memory (RSS) of the worker", "MiB", at_most=1.1),
        },
        sides=against_earlier,
        pairs_max=1,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
