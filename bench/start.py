"""How long ``ostatok up`` takes to be ready on a folder it knows, against its broker alone."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.cli import main
from bench.lab import OSTATOK, Lab
from bench.question import Figure, Figures, Question, Sides, Size
from ostatok.local.jars import cache_folder
from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.parts import POLL_SECONDS, Running
from ostatok.local.ports import free_port
from ostatok.setting_types import PREFIX

READY_SECONDS_MAX = 60.0
ARCHIVE_SECONDS_MAX = 120.0


async def system_up(lab: Lab, data: Path) -> Running:
    """Start `ostatok up`, and wait until http answers 200 at /readyz and `up` says all is ready."""
    port = free_port()
    argv = (*OSTATOK, "up", "--data", str(data), "--port", str(port))
    environment = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    running = await lab.start("up", argv, environment, ready_port=port, ready_path="/readyz")
    async with asyncio.timeout(READY_SECONDS_MAX):
        # It writes this file when every part was ready, the stream's workers among them.
        while not (data / "run.json").exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(POLL_SECONDS)
    return running


async def archive_made() -> None:
    """Wait for the archive of Kafka's classes, which the first start of a machine makes."""
    async with asyncio.timeout(ARCHIVE_SECONDS_MAX):
        while not list(cache_folder().glob("classes-*.jsa")):  # noqa: ASYNC110  # another process
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def against_broker(lab: Lab, _size: Size) -> AsyncIterator[Sides]:
    """Sides: the whole system, and EmbeddedKafka, in turn on the very same folder.

    The broker finds the same topics there as in the system, and checks its jars as there.
    """
    # The lab's own services are not asked here, and an idle broker takes its share of the cores.
    await asyncio.gather(lab.kafka.stop(), lab.postgres.stop())
    data = lab.folder / "data"
    running = await system_up(lab, data)
    await archive_made()
    await lab.stop(running)

    async def ours() -> Figures:
        started = time.perf_counter()
        running = await system_up(lab, data)
        seconds = time.perf_counter() - started
        await lab.stop(running)
        return {"start": seconds}

    async def theirs() -> Figures:
        broker = EmbeddedKafka(data / "kafka", free_port())
        started = time.perf_counter()
        try:
            await broker.start()
            return {"start": time.perf_counter() - started}
        finally:
            await broker.stop()

    yield Sides(ours, theirs)


QUESTIONS = (
    Question(
        "start",
        ours="`ostatok up` on a folder it knows",
        against="the bare broker on the same folder",
        figures={"start": Figure("start", "s", at_most=2)},
        sides=against_broker,
        alone=True,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
