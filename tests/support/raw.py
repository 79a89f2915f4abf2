"""HTTP by hand, for what no client library would say."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from support.webhooks import GOOD

SECONDS_MAX = 20.0
KIND = b"Content-Type: application/json\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target(NamedTuple):
    """Where an attack goes."""

    name: str
    port: int
    tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Streams]:
        """Have a connection, and end it without ado."""
        name = None if self.tls is None else "localhost"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname=name
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def send(self, *pieces: bytes, seconds: float = SECONDS_MAX) -> bytes:
        """Send bytes; give all that comes until the other side ends it, or for so many seconds."""
        async with self.connected() as (reader, writer):
            received = bytearray()
            # Who is refused may be cut off in the middle of what he says.
            with suppress(ConnectionError, ssl.SSLError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            with suppress(ConnectionError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(seconds):
                    while block := await reader.read(65_536):
                        received += block
            return bytes(received)


def statuses(received: bytes) -> list[int]:
    """The statuses of the answers, in their order."""
    return [int(one) for one in re.findall(rb"(?:^|\n|\}|\})HTTP/1\.[01] ([0-9]{3}) ", received)]


def post(*lines: bytes, body: bytes = GOOD, path: bytes = b"/api/webhook/bank/") -> bytes:
    """Give a webhook's request; its length stands there unless ``lines`` say how long it is."""
    text = b"".join(line + b"\r\n" for line in lines)
    if not re.search(rb"(?i)^(content-length|transfer-encoding)", text, re.MULTILINE):
        text += b"Content-Length: %d\r\n" % len(body)
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b" % (path, KIND)
    return head + text + b"\r\n" + body


def chunked(body: bytes, size: int = 1 << 20) -> bytes:
    """Give a body in chunks."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
