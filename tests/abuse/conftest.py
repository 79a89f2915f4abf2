"""What attacks go at: the service itself, and the documented proxy in front of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from support.proxy import running_proxy
from support.raw import Target
from support.serving import serve
from support.webhooks import RecordingJournal, Serve

__all__ = ["serve"]

WAYS = ("service", "proxy")


def port_of(client: ClientSession) -> int:
    """The port of a service."""
    port = urlsplit(str(client._base_url)).port
    assert port is not None
    return port


@pytest.fixture
def journal() -> RecordingJournal:
    """Give the journal that the test looks into."""
    return RecordingJournal()


@pytest.fixture
async def service(serve: Serve, journal: RecordingJournal) -> Target:
    """Give a service that publishes to ``journal``."""
    return Target("service", port_of(await serve(journal=journal)))


@pytest.fixture(params=WAYS)
async def target(
    request: pytest.FixtureRequest, service: Target, tmp_path: Path
) -> AsyncIterator[Target]:
    """Give that service, and then the proxy in front of it."""
    if request.param == "service":
        yield service
        return
    with ExitStack() as stack:
        # In a thread: the proxy asks the service, which lives in this loop, how it is.
        proxy = await asyncio.to_thread(stack.enter_context, running_proxy(tmp_path, service.port))
        yield Target("proxy", proxy.port, proxy.tls())
