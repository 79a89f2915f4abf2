"""TLS handshakes, which are under the limits of connections from their first byte on.

Servers of asyncio and uvloop tell nobody of a connection whose handshake is not done, which costs
50 KiB and can be had for nothing. So connections are accepted, counted, and encrypted then.
"""

import asyncio
import socket
import ssl

import structlog
from aiohttp import web

from ostatok_http.connections import CountedServer
from ostatok_http.giving_up import give_up

HANDSHAKE_SECONDS_MAX = 10.0

AWAY_SECONDS = 0.1
"""Until the next connection is accepted when the system has no place for one."""

log = structlog.get_logger()


class TlsSite(web.TCPSite):
    """As aiohttp's, but counts connections before their handshake.

    uvloop begins to read once a connection is made, so no protocol of ours could stand between.
    """

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await web.BaseSite.start(self)
        loop, counted = asyncio.get_running_loop(), self._runner.server
        assert isinstance(counted, CountedServer)  # noqa: S101  # fast_path.py makes it
        # It only opens the sockets, as names and families ask for.
        self._server = await loop.create_server(
            counted, self._host, self._port, reuse_port=self._reuse_port, start_serving=False
        )
        assert self._ssl_context is not None  # noqa: S101  # else this would be no TlsSite
        self._handshakes = _Handshakes(counted, self._ssl_context)
        for one in self._server.sockets:
            listener = one.dup()
            listener.setblocking(False)
            listener.listen(self._backlog)
            self._handshakes.accept(listener)

    async def stop(self) -> None:
        """Accept no more; handshakes that are under way come to nothing."""
        await self._handshakes.close()
        await super().stop()


class _Handshakes:
    """Accepts connections, and hands them on encrypted."""

    def __init__(self, server: CountedServer, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._accepting: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def accept(self, listener: socket.socket) -> None:
        """Accept what comes to a socket, from now on."""
        self._accepting.append(asyncio.create_task(self._accept_on(listener)))

    async def close(self) -> None:
        """Accept no more, and end what is under way."""
        await give_up(*self._accepting)
        await give_up(*self._under_way)

    async def _accept_on(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, address = await loop.sock_accept(listener)
                except ConnectionError:
                    continue  # It is gone already.
                except OSError as error:
                    log.warning("connection_not_accepted", reason=str(error))
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                task = asyncio.create_task(self._shake_hands(connection, address[0]))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _shake_hands(self, connection: socket.socket, address: str) -> None:
        handler = self._server()
        if not self._server.lets_in(handler, address):
            connection.close()
            return
        transport = None
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            )
        except OSError:
            pass  # No TLS, or none in time, or no certificate that is right; or it is gone.
        finally:
            if transport is None:
                self._server.has_no_handshake(handler)
