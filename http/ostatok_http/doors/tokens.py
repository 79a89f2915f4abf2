"""Recognising an API token, without a question to anybody.

Each process holds all tokens that work, and looks every two seconds whether they are still the same
ones: a token that was made or revoked is known everywhere within some three seconds. While Postgres
is away, what was known stands for a minute; then nobody is let in, since nobody can say who was
revoked meanwhile.
"""

import asyncio
import math
import time
from collections.abc import Callable
from hmac import compare_digest
from typing import Protocol

import structlog
from aiohttp import hdrs, web

from ostatok.api_token import hash_of, id_of
from ostatok.errors import LedgerError, LedgerUnavailable, NotAuthenticated
from ostatok_db.tokens import Allowed, Loaded
from ostatok_http.doors.identity import IDENTITY, Identity
from ostatok_http.giving_up import give_up

LOOK_SECONDS = 2.0
TRUSTED_SECONDS_MAX = 60.0
"""How long what was known stands when nobody can say whether it is still true."""

USE_SECONDS = 60.0
"""How exactly the last use of a token is kept."""

SEEN_MAX = 20_000
SEEN_CHARACTERS_MAX = 100
"""Headers that are remembered with the token they hold: so many, and none that is longer."""

CLOSE_SECONDS_MAX = 1.0

CHALLENGE = 'Bearer realm="ostatok"'
INVALID_TOKEN = f'{CHALLENGE}, error="invalid_token"'
"""RFC 6750, section 3: the second when a token was given."""

NO_TOKEN, WRONG_TOKEN = "no token", "a token that is unknown, revoked or expired"

_SCHEME = "bearer "
_NO_HASH = bytes(32)

log = structlog.get_logger()


class Store(Protocol):
    """Where tokens are kept: :class:`ostatok_db.tokens.TokenStore`."""

    async def load(self, known: str) -> Loaded:
        """Give the tokens that work, unless they are the known ones."""
        ...

    async def note_use(self, used: dict[str, float]) -> None:
        """Keep when tokens were last used."""


class _Held:
    """A token that works."""

    __slots__ = ("expires_at", "hash", "id", "identity", "noted_at", "used_at")

    def __init__(self, token: Allowed, before: "_Held | None") -> None:
        self.id = token.id
        self.hash = token.hash
        self.expires_at = math.inf if token.expires_at is None else token.expires_at
        self.identity = Identity(f"token {token.name}", token.scopes, token.inns)
        self.used_at: float = 0.0 if before is None else before.used_at
        self.noted_at: float = 0.0 if before is None else before.noted_at


class Tokens:
    """The tokens that work, in memory."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall_clock = wall_clock
        self._digest = "nothing was loaded"
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, _Held] = {}
        self._trusted_until = -math.inf
        self._trouble = ""
        self._is_noted = True

    def identify(self, request: web.BaseRequest) -> Identity:
        """Give who asks, and keep it on the request.

        Raises :class:`NotAuthenticated` when no token that works is given, and
        :class:`LedgerUnavailable` when nobody can say whether it works.
        """
        given = request.headers.get(hdrs.AUTHORIZATION)
        if given is None:
            raise NotAuthenticated(NO_TOKEN, challenge=CHALLENGE)
        if self._clock() > self._trusted_until:
            raise LedgerUnavailable("Nobody can say which tokens work.")
        held = self._seen.get(given)
        if held is None:
            held = self._find(given)
        now = self._wall_clock()
        if now >= held.expires_at:
            raise NotAuthenticated(WRONG_TOKEN, challenge=INVALID_TOKEN)
        held.used_at = now
        identity = request[IDENTITY] = held.identity
        return identity

    def _find(self, given: str) -> _Held:
        if given[: len(_SCHEME)].lower() != _SCHEME:
            raise NotAuthenticated(NO_TOKEN, challenge=CHALLENGE)
        text = given[len(_SCHEME) :].strip(" ")
        held = self._held.get(id_of(text) or "")
        # The same is done for a token that nobody has: how long it takes tells nothing.
        known = _NO_HASH if held is None else held.hash
        is_right = compare_digest(hash_of(text), known)
        if held is None or not is_right:
            raise NotAuthenticated(WRONG_TOKEN, challenge=INVALID_TOKEN)
        if len(given) <= SEEN_CHARACTERS_MAX:
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen[given] = held
        return held

    async def __aenter__(self) -> None:
        self._looking = asyncio.create_task(self._look_on())

    async def __aexit__(self, *_: object) -> None:
        await give_up(self._looking)
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._note_use()
        except (TimeoutError, LedgerError):
            pass  # A courtesy.

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
                self._trouble = ""
            except LedgerError as error:
                if not self._trouble:
                    log.warning("tokens_not_loaded", reason=str(error))
                self._trouble = str(error)
            except Exception:  # A bug must not end the looking without a word.
                log.exception("tokens_failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """See which tokens work, and keep which were used. Raises :class:`LedgerUnavailable`."""
        began_at = self._clock()
        found = await self._store.load(self._digest)
        if found.tokens is not None:
            held = {one.id: _Held(one, self._held.get(one.id)) for one in found.tokens}
            self._held, self._seen, self._digest = held, {}, found.digest
        self._trusted_until = began_at + TRUSTED_SECONDS_MAX
        try:
            await self._note_use()
            self._is_noted = True
        except LedgerError as error:
            # Who is let in does not depend on it.
            if self._is_noted:
                log.warning("token_use_not_noted", reason=str(error))
            self._is_noted = False

    async def _note_use(self) -> None:
        used = [one for one in self._held.values() if one.used_at > one.noted_at + USE_SECONDS]
        if not used:
            return
        times = {one.id: one.used_at for one in used}
        await self._store.note_use(times)
        for one in used:
            one.noted_at = times[one.id]
