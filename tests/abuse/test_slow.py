"""Those who say what they have to say drop by drop, or never read what they are told."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from typing import cast
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from support.lone import counted_on
from support.raw import Target, post, statuses
from support.webhooks import INN, EmptyLedger, RecordingJournal, Serve

from ostatok_db.reading import Standing
from ostatok_http import bodies, connections

SLOW = 500
HEAD = b"POST /api/webhook/bank/ HTTP/1.1\r\nHost: localhost\r\n"
DROPS = {
    "headers": (HEAD, b"X: y\r\n"),
    "a letter": (b"P", b""),
    "nothing": (b"", b""),
    "an address": (b"GET /", b"a"),
    "a body": (post(b"Content-Length: 60000", body=b""), b" "),
    "no body": (post(b"Content-Length: 60000", body=b""), b""),
    "chunks of a byte": (post(b"Transfer-Encoding: chunked", body=b""), b"1\r\n \r\n"),
}
"""Ways to be slow: how it begins, and what comes drop by drop."""
DROP_SECONDS = LOOK_SECONDS = 0.2
CUT_SECONDS_MAX = {"service": 8.0, "proxy": 32.0}
"""The service's own waits are made shorter here, the proxy's are those of its configuration."""
GIVE_UP_SECONDS = 40.0
HONEST = 20
HONEST_SECONDS_MAX = 2.0


class Slow:
    """Many that say something drop by drop, each its own."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.connected = 0
        self.all_are_there = asyncio.Event()

    async def be_one(self, start: bytes, drop: bytes) -> tuple[float, bytes]:
        """Be one of them; gives how long that was let be, and what was answered."""
        async with self.target.connected() as (reader, writer):
            begun = time.monotonic()
            writer.write(start)
            self.connected += 1
            if self.connected == SLOW:
                self.all_are_there.set()
            received = b""
            # Who is cut off while he speaks may not get to hear why.
            with suppress(ConnectionError, ssl.SSLError):
                while time.monotonic() - begun < GIVE_UP_SECONDS:
                    with suppress(TimeoutError):
                        block = await asyncio.wait_for(reader.read(65_536), DROP_SECONDS)
                        if not block:
                            break
                        received += block
                        continue
                    writer.write(drop)
            return time.monotonic() - begun, received


async def be_honest(target: Target) -> float:
    """Send webhooks one after the other, each on a connection of its own; gives the slowest."""
    slowest = 0.0
    for _ in range(HONEST):
        begun = time.monotonic()
        assert statuses(await target.send(post(b"Connection: close"))) == [200]
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody as long as the service does."""
    monkeypatch.setattr(connections, "HEAD_SECONDS_MAX", 2.0)
    monkeypatch.setattr(connections, "UNREAD_SECONDS_MAX", 2.0)
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(bodies, "BODY_SECONDS_MAX", 2.0)


@pytest.mark.usefixtures("_impatient")
async def test_slow_ones_are_cut_off_and_honest_ones_are_served(
    target: Target, journal: RecordingJournal
) -> None:
    """500 of them at once hold nobody up, and none is there longer than it may be."""
    slow = Slow(target)
    kinds = list(DROPS) * (SLOW // len(DROPS) + 1)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(slow.be_one(*DROPS[kind])) for kind in kinds[:SLOW]]
        await slow.all_are_there.wait()
        slowest = await be_honest(target)
    assert slowest < HONEST_SECONDS_MAX
    assert len(journal.records) == HONEST
    ended = [(kind, *task.result()) for kind, task in zip(kinds, tasks, strict=False)]
    assert not {kind for kind, seconds, _ in ended if seconds > CUT_SECONDS_MAX[target.name]}
    # The proxy takes what comes after its answer for another request, and for no good one.
    allowed = {(), (408,)} if target.name == "service" else {(), (400,), (408,), (408, 400)}
    assert {tuple(statuses(answer)) for _, _, answer in ended} <= allowed


@pytest.mark.usefixtures("_impatient")
async def test_one_that_has_asked_before_may_rest(service: Target) -> None:
    """Only a first request has to come soon: keeping a connection for the next is what HTTP is."""
    async with service.connected() as (reader, writer):
        for _ in range(2):
            writer.write(post())
            head = await asyncio.wait_for(reader.readuntil(b'successfully"}'), 5)
            assert statuses(head) == [200]
            await asyncio.sleep(3)  # Longer than a first one has.


class Rich(EmptyLedger):
    """A ledger in which everybody has paid."""

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Know them all."""
        return [Standing(inn, Decimal(5), 1_000_000) for inn, _ in asked]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("path", [f"/api/organizations/{INN}/balance/", "/api/openapi.json"])
async def test_one_that_does_not_read_is_cut_off(serve: Serve, path: str) -> None:
    """It asks and asks: what it is told fills the system's buffers, then it is waited for in vain.

    Then it is gone from the service at once, however much there is that it did not read.
    """
    client = await serve(ledger=Rich())
    target = Target("service", urlsplit(str(client._base_url)).port or 0)
    ask = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    async with AsyncExitStack() as stack:
        for _ in range(5):
            _, writer = await stack.enter_async_context(target.connected())
            cast("asyncio.Transport", writer.transport).pause_reading()
            writer.write(ask * 20_000)
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while (  # noqa: ASYNC110  # the service tells nobody
                await metric(client, 'cut_connections_total{reason="slow_reader"}') < 5
                or await metric(client, "connections") > 1
            ):
                await asyncio.sleep(LOOK_SECONDS)


async def metric(client: ClientSession, name: str) -> float:
    """What the service counts."""
    async with client.get("/metrics") as answer:
        return counted_on(await answer.text(), name)


async def test_a_storm_of_connections_reset_in_mid_body(
    target: Target, journal: RecordingJournal
) -> None:
    """Each ends where it likes; nothing of it is taken for a payment, and others are served."""
    whole = post()
    for at in range(0, len(whole), 3):
        async with target.connected() as (_, writer):
            writer.write(whole[:at])
            await writer.drain()
    assert journal.records == []
    assert await be_honest(target) < HONEST_SECONDS_MAX
