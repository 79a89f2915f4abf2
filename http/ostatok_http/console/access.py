"""Who looks at the console: his session, by its cookie, and whether a form comes from his page.

The cookie says 256 random bits, and their SHA-256 is all that is kept. Each request looks the
session up in Postgres, so one that was ended is over for all processes at once.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import NamedTuple

from aiohttp import web

from ostatok.errors import NotAllowed, NotAuthenticated
from ostatok_db.logins import LoggedIn, Logins
from ostatok_db.users import Role
from ostatok_http.answers import DENIAL
from ostatok_http.doors.clients import Clients
from ostatok_http.doors.identity import BALANCE_READ, HISTORY_READ, IDENTITY, OPERATOR, Identity

SESSION_COOKIE, BROWSER_COOKIE = "ostatok_session", "ostatok_browser"
BROWSER_SECONDS = 180 * 86_400
FORWARDED_PROTO = "X-Forwarded-Proto"

SCOPES = {
    Role.VIEWER.value: frozenset({BALANCE_READ, HISTORY_READ}),
    Role.OPERATOR.value: frozenset({BALANCE_READ, HISTORY_READ, OPERATOR}),
}

_is_secret = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


class Session(NamedTuple):
    """By what session somebody asks."""

    hash: bytes
    who: LoggedIn
    csrf: str
    """What each of his forms carries, and no other page can know."""


SESSION = web.RequestKey("session", Session)


class Access:
    """Lets in who is logged in."""

    def __init__(self, logins: Logins, clients: Clients, home: str) -> None:
        self._logins = logins
        self._clients = clients
        self._home = home

    async def enter(self, request: web.Request, *, touch: bool = True) -> None:
        """Note on the request who asks. Raises NotAuthenticated, NotAllowed, LedgerUnavailable."""
        secret = self.cookie(request, SESSION_COOKIE)
        if not _is_secret(secret):
            raise NotAuthenticated("Nobody is logged in.")
        session = hash_of(secret)
        who = await self._logins.find(session, touch=touch)
        if who is None:
            raise NotAuthenticated("The session is over.")
        scopes = SCOPES.get(who.role, frozenset[str]())
        request[IDENTITY] = Identity(who.name, scopes)
        if not scopes:
            raise NotAllowed("The role is none that this version knows.")
        request[SESSION] = Session(session, who, _csrf(secret))

    async def is_still_in(self, request: web.Request) -> bool:
        """Whether the session of a request that goes on has not ended since it began."""
        session = request[SESSION]
        return await self._logins.find(session.hash, touch=False) == session.who

    def check_form(self, request: web.Request, sent: list[str]) -> None:
        """Refuse a form that does not carry its session's token. Raises HTTPForbidden."""
        own = request[SESSION].csrf
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode(), own.encode()):
            request[DENIAL] = "The form has not the token of the session."
            raise web.HTTPForbidden

    def session_before(self, request: web.Request) -> bytes | None:
        """Give which session a browser says it has, valid or not."""
        secret = self.cookie(request, SESSION_COOKIE)
        return hash_of(secret) if _is_secret(secret) else None

    def cookie(self, request: web.Request, name: str) -> str:
        """Read a cookie of ours; by https only one that was set by https."""
        return request.cookies.get(self._name(request, name), "")

    def set_cookie(
        self,
        request: web.Request,
        response: web.StreamResponse,
        name: str,
        value: str,
        seconds: int | None = None,
    ) -> None:
        """Have the browser keep a secret; without ``seconds``, until it is closed.

        Not SameSite=Strict: who follows a link from a chat into the console would seem to be
        logged out. No address that is asked for by GET changes anything.
        """
        by_https = self._is_by_https(request)
        response.set_cookie(
            self._name(request, name),
            value,
            path="/" if by_https else self._home,
            max_age=seconds,
            secure=by_https,
            httponly=True,
            samesite="Lax",
        )

    def drop_cookie(self, request: web.Request, response: web.StreamResponse, name: str) -> None:
        """Have the browser forget a secret."""
        by_https = self._is_by_https(request)
        response.del_cookie(
            self._name(request, name),
            path="/" if by_https else self._home,
            secure=by_https,
            httponly=True,
            samesite="Lax",
        )

    def _name(self, request: web.Request, name: str) -> str:
        """Give the name a browser knows a cookie by.

        With __Host- it takes it by https alone, for all paths, and from no other host: a neighbour
        at bank.example can't plant a session of his own in the browser of one who comes here.
        """
        return f"__Host-{name}" if self._is_by_https(request) else name

    def _is_by_https(self, request: web.Request) -> bool:
        """Whether the browser asked by https: us, or a proxy of ours, which then says so."""
        if request.secure:
            return True
        said = request.headers.getall(FORWARDED_PROTO, [])
        last = ",".join(said).rpartition(",")[2].strip().lower()
        return last == "https" and self._clients.is_by_proxy(request)


def new_secret() -> str:
    """Make what a session's cookie says."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """Give what is kept of it. It is random, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def _csrf(secret: str) -> str:
    """Give the token of a session's forms: who knows the one does not know the other by it."""
    signed = hmac.digest(secret.encode(), b"ostatok form", hashlib.sha256)
    return urlsafe_b64encode(signed).rstrip(b"=").decode()
