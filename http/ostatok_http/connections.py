"""How many connections there may be, and how long one may keep the service waiting.

Somebody who only opens connections, or who neither sends what he began nor reads what he is sent,
costs as little as can be, and is cut off. One look a second at all connections does that: a timer
for each request would be paid for by the honest.
"""

import asyncio
import resource
from collections import Counter
from contextlib import suppress
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok_http.connection_counts import ConnectionCounts
from ostatok_http.doors.clients import household_of, is_within, peer_of, proxies_of

HEAD_SECONDS_MAX = 10.0
"""How long a new connection may take to send the whole head of its first request."""

UNREAD_SECONDS_MAX = 30.0
"""How long a client may leave an answer unread that does not fit into the system's buffers."""

LOOK_SECONDS = 1.0

FILES_RESERVED = 512
"""Open files that are kept for all else: Kafka, Postgres, what Python loads."""

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_UNREADABLE = b'{"error": "Bad request"}'

log = structlog.get_logger()


def raise_open_files() -> None:
    """Take as many open files as the system grants without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Systems that say "no limit" and don't mean it keep the old one.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Connections:
    """The limits of one process, and the looks at those who strain them."""

    def __init__(self, settings: Settings, counts: ConnectionCounts) -> None:
        self._counts = counts
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._max = wanted = settings.http_connections_max
        if files != resource.RLIM_INFINITY and files - FILES_RESERVED < wanted:
            self._max = max(1, files - FILES_RESERVED)
            log.warning(
                "connections_limited",
                connections_max=self._max,
                open_files=files,
                hint=f"{PREFIX}HTTP_CONNECTIONS_MAX is {wanted}: raise `ulimit -n`.",
            )
        counts.limit(self._max)
        self._of_client_max = settings.http_client_connections_max
        if self._max < wanted:
            # Whatever the limit of all came down to, one client does not have all of them.
            self._of_client_max = min(self._of_client_max, max(1, self._max // 2))
        self._proxies = proxies_of(settings.http_trusted_proxies)
        self._by_client: Counter[str] = Counter()
        self._clients: dict[RequestHandler, str] = {}
        self._new: dict[RequestHandler, float] = {}
        """Who has not sent a whole head yet, and since when; the oldest first."""
        self._stuck: dict[RequestHandler, tuple[object, float]] = {}
        self._server: CountedServer | None = None
        self._next_look: asyncio.TimerHandle | None = None

    def server_like(self, server: web.Server, **kwargs: Any) -> web.Server:
        """Give a server that answers as that one does, within the limits."""
        loop = asyncio.get_running_loop()
        self._server = CountedServer(self, server, loop=loop, **kwargs)
        self._next_look = loop.call_later(LOOK_SECONDS, self._look)
        return self._server

    def close(self) -> None:
        """Look no more."""
        if self._next_look is not None:
            self._next_look.cancel()

    def lets_in(self, handler: RequestHandler, address: str) -> bool:
        """Count a new connection, unless there are as many as there may be.

        One that was counted before its TLS handshake has the time for its head from now on.
        """
        if handler in self._clients:
            self._new.pop(handler, None)
            self._new[handler] = asyncio.get_running_loop().time()
            return True
        # Counted together are those of a household; our own proxies' are nobody's.
        client = "" if is_within(address, self._proxies) else household_of(address)
        if len(self._clients) >= self._max:
            self._counts.refused("full")
            return False
        if client and self._by_client[client] >= self._of_client_max:
            self._counts.refused("client")
            return False
        if client:
            self._by_client[client] += 1
        self._clients[handler] = client
        self._new[handler] = asyncio.get_running_loop().time()
        self._counts.open(len(self._clients))
        return True

    def lost(self, handler: RequestHandler) -> None:
        """Forget a connection that has ended."""
        client = self._clients.pop(handler, None)
        if client is None:
            return
        if client:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
        self._new.pop(handler, None)
        self._stuck.pop(handler, None)
        self._counts.open(len(self._clients))

    def has_no_handshake(self, handler: RequestHandler) -> None:
        """Forget a connection, and count that its TLS handshake came to nothing."""
        self.lost(handler)
        self._counts.cut("handshake")

    def unreadable(self) -> None:
        """Count a connection over which something came that is no HTTP."""
        self._counts.cut("unreadable")

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(LOOK_SECONDS, self._look)
        if self._server is None:
            return
        now = loop.time()
        for handler, since in list(self._new.items()):
            if now - since < HEAD_SECONDS_MAX:
                break
            del self._new[handler]
            transport = handler.transport
            if handler._request_count == 0 and transport is not None:  # noqa: SLF001
                transport.write(_TOO_SLOW)
                handler.force_close()
                self._counts.cut("slow_head")
        stuck: dict[RequestHandler, tuple[object, float]] = {}
        for handler, transport in self._server.transports():
            if not handler.writing_paused and not transport.is_closing():
                continue
            # Each write that waits for the client waits for a future of its own.
            waits_for = handler._drain_waiter  # noqa: SLF001
            before = self._stuck.get(handler)
            since = before[1] if before is not None and before[0] is waits_for else now
            if now - since < UNREAD_SECONDS_MAX:
                stuck[handler] = waits_for, since
            else:
                # close() would wait for the client to read what is not sent yet.
                transport.abort()
                self._counts.cut("slow_reader")
        self._stuck = stuck


class Handler(RequestHandler):
    """A connection; what can't be read as HTTP is no event worth a traceback each."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if it is let in."""
        connection, server = cast("asyncio.Transport", transport), self._manager
        if isinstance(server, CountedServer) and not server.lets_in(self, peer_of(connection)):
            connection.abort()
        else:
            super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what no handler has seen, without a word of it in log or answer."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        if isinstance(self._manager, CountedServer):
            self._manager.count_unreadable()
        if request.writer.output_size > 0:
            raise ConnectionError("A part of another answer is sent already.")
        response = web.Response(status=400, body=_UNREADABLE, content_type="application/json")
        response.force_close()
        return response


class CountedServer(web.Server):
    """aiohttp's server, whose connections are counted."""

    def __init__(
        self,
        guard: Connections,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            server.request_handler, request_factory=server.request_factory, loop=loop, **kwargs
        )
        self._guard = guard

    def __call__(self) -> Handler:
        """Give what handles the next connection."""
        return Handler(self, loop=self._loop, **self._kwargs)

    def lets_in(self, handler: RequestHandler, address: str) -> bool:
        """Whether there may be one more from an address, which is counted then."""
        return self._guard.lets_in(handler, address)

    def has_no_handshake(self, handler: RequestHandler) -> None:
        """Count a connection that was let in and could not be encrypted."""
        self._guard.has_no_handshake(handler)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget it, as aiohttp does."""
        super().connection_lost(handler, exc)
        self._guard.lost(handler)

    def transports(self) -> list[tuple[RequestHandler, asyncio.Transport]]:
        """Give every connection there is, those included that only wait for their end."""
        return list(self._connections.items())

    def count_unreadable(self) -> None:
        """Count a connection that ends because of what came over it."""
        self._guard.unreadable()
