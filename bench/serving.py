"""Services of one turn: started for it, ended with it, so that a side that waits burns nothing."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bench.lab import OSTATOK, Lab
from ostatok.local.ports import free_port
from ostatok.local.processes import environment_of
from ostatok.settings import Settings


@asynccontextmanager
async def serving(
    lab: Lab,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    port: int,
    ready_path: str = "/readyz",
) -> AsyncIterator[int]:
    """Run a process that answers on a port, from when it is ready; give the port."""
    running = await lab.start("serving", argv, environment, ready_port=port, ready_path=ready_path)
    try:
        yield port
    finally:
        await lab.stop(running)


@asynccontextmanager
async def ostatok_http(lab: Lab, settings: Settings) -> AsyncIterator[int]:
    """Run one `ostatok http`; give its port."""
    own = environment_of(settings)
    async with serving(lab, (*OSTATOK, "http"), own, port=settings.http_port) as port:
        yield port


@asynccontextmanager
async def ostatok_stream(lab: Lab, settings: Settings) -> AsyncIterator[None]:
    """Run one `ostatok stream`, from when it has its partitions."""
    own = environment_of(settings)
    async with serving(lab, (*OSTATOK, "stream"), own, port=settings.stream_metrics_port):
        yield


@asynccontextmanager
async def bare_aiohttp(lab: Lab) -> AsyncIterator[int]:
    """Run bare.py; give its port."""
    port = free_port()
    argv = (sys.executable, "-m", "bench.bare", str(port))
    async with serving(lab, argv, os.environ, port=port):
        yield port
