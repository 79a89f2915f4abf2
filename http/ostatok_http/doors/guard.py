"""Who may read and decide: what each address of the API asks for, and the check.

It is made before anything else: a request without a token that works is answered the same whatever
it asks for, and nobody is asked about an INN for somebody who may not know of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from ostatok.errors import NotAllowed
from ostatok.settings import Settings
from ostatok_db.pool import Connections
from ostatok_db.tokens import TokenStore
from ostatok_http.doors.identity import BALANCE_READ, HISTORY_READ, OPERATOR, Identity
from ostatok_http.doors.tokens import Tokens

SCOPES_OF: Mapping[str, str] = {
    "balance": BALANCE_READ,
    "log": HISTORY_READ,
    "statement": HISTORY_READ,
    "operation": HISTORY_READ,
    "dead_letters": OPERATOR,
    "dead_letter": OPERATOR,
    "redrive": OPERATOR,
    "discard": OPERATOR,
}
"""What the routes ask for, by their names. Documents and health, which are not here, are open."""

PAST = frozenset({"at", "position"})
"""With one of these parameters a balance is history."""

BalanceOf = Callable[[str, web.BaseRequest], Awaitable[web.StreamResponse]]


class Guard:
    """Lets through who may do what he asks for. Without authentication that is everyone."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    @classmethod
    def make(cls, settings: Settings, writes: Connections) -> Self:
        """Give what the settings want."""
        return cls(Tokens(TokenStore(writes)) if settings.http_authentication else None)

    async def __aenter__(self) -> None:
        if self._tokens is not None:
            await self._tokens.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        if self._tokens is not None:
            await self._tokens.__aexit__()

    def around(self, route: str, handler: Handler) -> Handler:
        """Give the handler of a route with the check before it."""
        tokens, scope = self._tokens, SCOPES_OF[route]
        if tokens is None:
            return handler

        async def answer(request: web.Request) -> web.StreamResponse:
            needed = HISTORY_READ if route == "balance" and PAST & request.query.keys() else scope
            identity = tokens.identify(request)
            _require(identity, needed, request.match_info.get("inn"))
            return await handler(request)

        return answer

    def around_balance(self, balance_of: BalanceOf) -> BalanceOf:
        """Give the fast path's handler with the check before it."""
        tokens = self._tokens
        if tokens is None:
            return balance_of

        def answer(inn: str, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            _require(tokens.identify(request), BALANCE_READ, inn)
            return balance_of(inn, request)

        return answer


def _require(identity: Identity, scope: str, inn: str | None) -> None:
    """Raise :class:`NotAllowed`: about an INN too, whether it exists or not."""
    if scope not in identity.scopes:
        raise NotAllowed(f"The token does not have the scope {scope}.")
    if inn is not None and not identity.may_see(inn):
        raise NotAllowed("The token is not for this INN.")
