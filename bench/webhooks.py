"""How fast webhooks are acknowledged, against a handler that only reads and decodes them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.cli import main
from bench.lab import Lab
from bench.load import Job, Result, load, write_jobs
from bench.messages import post
from bench.payments import Mix, bodies
from bench.question import Figure, Figures, Question, Sides, Size
from bench.serving import bare_aiohttp, ostatok_http
from ostatok.settings import Settings
from ostatok.topic import Topic

PATH = "/api/webhook/bank/"
CONNECTIONS = 256


def write_webhooks(path: Path, mix: Mix) -> Path:
    """Make a file of webhooks, one a job, for :func:`bench.load.load`."""
    return write_jobs(path, (Job([post(PATH, body)]) for _, body in bodies(mix)))


async def acknowledged_per_second(
    lab: Lab,
    settings: Settings,
    webhooks: Path,
    *,
    connections: int = CONNECTIONS,
    warmup: int = 0,
) -> float:
    """Post the webhooks to one `ostatok http`; see that each got its 200 and lies in the topic."""
    async with ostatok_http(lab, settings) as port:
        before = await asyncio.to_thread(_records, settings)
        result = await load(port, webhooks, connections=connections, warmup=warmup)
    acknowledged = all_200(result)
    written = await asyncio.to_thread(_records, settings) - before
    assert written == acknowledged, f"{acknowledged} got a 200, {written} lie in the topic."
    return result.per_second


async def answered_per_second(lab: Lab, webhooks: Path, mix: Mix, *, warmup: int) -> float:
    """Post the webhooks of a mix to bare.py; see that each got its 200."""
    async with bare_aiohttp(lab) as port:
        result = await load(port, webhooks, connections=CONNECTIONS, warmup=warmup)
    assert all_200(result) == mix.payments
    return result.per_second


def all_200(result: Result) -> int:
    """See that every answer was a 200; give how many there were."""
    assert result.statuses.keys() == {200}, f"Not all answers were 200: {result.statuses}"
    return result.statuses[200]


def _records(settings: Settings) -> int:
    """How many records the topic has had, which is where its offsets end."""
    ranges = Topic(settings).ranges(range(settings.topic_partitions))
    return sum(held.end for held in ranges.values())


@asynccontextmanager
async def against_bare(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: our receiver on Kafka, and bare.py. The stream is off on both.

    The broker has taken as many webhooks before the first turn: a Kafka that has just started uses
    four times the processor time until its JVM has compiled what is called often.
    """
    mix = Mix(size.of(100_000, 3_000), size.of(10_000, 200))
    warmup = mix.payments // 20
    webhooks = await asyncio.to_thread(write_webhooks, lab.folder / "webhooks", mix)
    settings = await lab.new_settings()

    async def ours() -> Figures:
        rate = await acknowledged_per_second(lab, settings, webhooks, warmup=warmup)
        return {"acknowledged": rate}

    await ours()

    async def theirs() -> Figures:
        return {"acknowledged": await answered_per_second(lab, webhooks, mix, warmup=warmup)}

    yield Sides(ours, theirs)


QUESTIONS = (
    Question(
        "webhooks",
        ours="one http process on Kafka, the stream off",
        against="an aiohttp handler that only reads and decodes",
        figures={
            "acknowledged": Figure(
                f"webhooks acknowledged/s, {CONNECTIONS} connections", "/s", at_least=0.8
            )
        },
        sides=against_bare,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
