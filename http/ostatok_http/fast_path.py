"""The way of the two requests that come by the thousand: past aiohttp's router and middlewares.

In a service that only answers, those two are a fifth of the work for a request. Whatever is not
exactly one of the two requests, and whatever wants more of HTTP than a body and an answer, goes
aiohttp's usual way, to the same handlers.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import hdrs, web

from ostatok.payment import is_inn
from ostatok_http.answers import Answering
from ostatok_http.connections import Connections

WEBHOOK = "/api/webhook/{}"
BALANCE = "/api/organizations/{}/balance"
"""Both are answered with a slash at the end and without; the fast path is for the first."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_match_balance = re.compile(BALANCE.format("([^/]*)") + "/").fullmatch


class FastPath:
    """Hands the two requests to their handlers itself."""

    def __init__(
        self,
        answering: Answering,
        receivers: Mapping[str, Handler],
        balance_of: Callable[[str, web.BaseRequest], Awaitable[web.StreamResponse]] | None,
    ) -> None:
        """Take webhooks with ``receivers``, by source; without ``balance_of`` give no balances."""
        self._answering = answering
        self._receivers = {f"{WEBHOOK.format(name)}/": one for name, one in receivers.items()}
        self._balance_of = balance_of

    def instead_of(self, usual: Handler) -> Handler:
        """Give what handles a server's requests, the rest of them by ``usual``."""

        def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            path, method = request.raw_path, request.method
            if hdrs.EXPECT not in request.headers:
                if method == hdrs.METH_POST:
                    receive = self._receivers.get(path)
                    if receive is not None:
                        return self._answering.answer(request, "webhook", receive)
                elif balance_of is not None and method == hdrs.METH_GET:
                    found = _match_balance(path)
                    if found and is_inn(found[1]):
                        handler = partial(balance_of, found[1])
                        return self._answering.answer(request, "balance", handler)
            return usual(request)

        balance_of = self._balance_of
        return handle


FAST_PATH = web.AppKey("fast_path", FastPath)
CONNECTIONS = web.AppKey("connections", Connections)


class Runner(web.AppRunner):
    """Runs the service with its fast path, and its limits on connections."""

    async def setup(self) -> None:
        """Open the service; it may listen then."""
        await super().setup()
        if (server := self.server) is not None:
            fast_path = self.app[FAST_PATH]
            server.request_handler = fast_path.instead_of(server.request_handler)

    async def cleanup(self) -> None:
        """Close it."""
        self.app[CONNECTIONS].close()
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        return self.app[CONNECTIONS].server_like(await super()._make_server(), **self._kwargs)
