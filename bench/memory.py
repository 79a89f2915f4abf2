"""How much memory the processes hold after many payments, against after the first of them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from bench.cli import main
from bench.lab import Lab
from bench.load import Job, load, write_jobs
from bench.messages import post
from bench.payments import Mix, bodies
from bench.question import Figure, Figures, Question, Sides, Size
from bench.system import System, whole_system
from bench.webhooks import CONNECTIONS, PATH, all_200

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
        webhooks = bodies(mix)
        part = mix.payments // POSTS
        async with whole_system(lab) as system:
            for number in range(POSTS):
                await _post(lab, system.port, list(islice(webhooks, part)))
                if number == 0:
                    await system.applied(part)
                    earlier.append(_resident(system))
            # Then both processes have nothing in hand.
            await system.applied(mix.payments)
            return _resident(system)

    async def theirs() -> Figures:
        return earlier.pop()

    yield Sides(ours, theirs)


async def _post(lab: Lab, port: int, webhooks: list[tuple[str, bytes]]) -> None:
    """Post webhooks as fast as they are taken, and see that all are."""
    jobs: Iterator[Job] = (Job([post(PATH, body)]) for _, body in webhooks)
    file: Path = await asyncio.to_thread(write_jobs, lab.folder / "webhooks", jobs)
    result = await load(port, file, connections=CONNECTIONS)
    assert all_200(result) == len(webhooks)


def _resident(system: System) -> Figures:
    """The resident memory of both, MiB."""
    names = ("http", "worker")
    return {name: resident_mib(pid) for name, pid in zip(names, system.pids, strict=True)}


def resident_mib(pid: int) -> float:
    """The resident memory of a process. Linux says it under /proc."""
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
