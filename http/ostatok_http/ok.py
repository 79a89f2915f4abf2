"""The answer to what went well, written at one stroke."""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter


class Ok(web.StreamResponse):
    """A 200 with a body of JSON.

    web.Response settles for each answer what is the same for all of ours: kind of body, length,
    compression, cookies. That is a third of what an aiohttp service that only answers does.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Take the body and headers of our own; neither may come from a client unchecked."""
        super().__init__(headers=headers)
        self._json = body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write all of it; ConnectionError when the client is gone."""
        self._keep_alive = persists = bool(request.keep_alive)
        version = request.version
        # RFC 9112, section 9.3: each version has to be told what it does not do by itself.
        if persists != (version >= HttpVersion11):
            self.headers[hdrs.CONNECTION] = "keep-alive" if persists else "close"
        head = (
            f"HTTP/{version.major}.{version.minor} 200 OK\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self._json)}\r\nDate: {_date(int(time.time()))}\r\n"
            + "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
            + "\r\n"
        ).encode()
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client is gone.")
        transport.write(head if request.method == hdrs.METH_HEAD else head + self._json)
        if transport.get_write_buffer_size():  # It does not read, or slower than it asks.
            await request.writer.drain()
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all is written."""


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """RFC 9110, section 5.6.7."""
    return formatdate(second, usegmt=True)
