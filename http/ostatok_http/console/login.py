"""Logging in and out of the console, and where one is logged in."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web

from ostatok.errors import LedgerUnavailable, NotAuthenticated, TooManyRequests
from ostatok.passwords import Passwords, is_short_enough, read_name
from ostatok_db.logins import Account, Logins
from ostatok_http.answers import ANSWER, DENIAL, REQUEST_ID
from ostatok_http.console.access import (
    BROWSER_COOKIE,
    BROWSER_SECONDS,
    SESSION,
    SESSION_COOKIE,
    Access,
    hash_of,
    new_secret,
)
from ostatok_http.console.forms import read_form, require_same_origin
from ostatok_http.console.site import LOGIN, Site, redirect, safe
from ostatok_http.desk import Desk
from ostatok_http.doors.clients import household_of
from ostatok_http.doors.throttle import Guess, Throttle, guess_of, is_known, new_mark
from ostatok_http.doors.trail import Trail
from ostatok_http.parameters import Parameters
from ostatok_http.refusals import TOO_MANY, UNAUTHORIZED

FORM_BYTES_MAX = 16_384
IN_HAND_MAX = 50
"""Logins in hand at the most; past it 503."""

OF_HOUSEHOLD_MAX = 10
"""How many of them may be of one address, or of one household's network; past it 429."""

AT_ONCE_MAX = 1
"""Passwords that are checked at once: each takes 19 MiB and a processor for 30 ms."""

WAITING_MAX = 20
"""Passwords that may wait for that, of browsers that are not known; a few more of those that are:
they don't wait for the others."""

CHECK_SECONDS_MAX = 5.0
BROWSER_CHARACTERS_MAX = 200

log = structlog.get_logger()


class Checked(NamedTuple):
    """What came of looking at a password."""

    fits: bool
    new_hash: str | None
    """To be kept instead; None when the one that is kept is as it should be."""


class Login:
    """The page that asks who one is, what is posted there, and the pages about sessions."""

    def __init__(
        self, site: Site, access: Access, logins: Logins, throttle: Throttle, trail: Trail
    ) -> None:
        self._site = site
        self._access = access
        self._logins = logins
        self._throttle = throttle
        self._trail = trail
        self._passwords = Passwords()
        self._strangers = Desk(AT_ONCE_MAX, WAITING_MAX, CHECK_SECONDS_MAX)
        self._known = Desk(AT_ONCE_MAX, WAITING_MAX, CHECK_SECONDS_MAX)
        self._in_hand: Counter[str] = Counter()
        self._counting = asyncio.Semaphore(1)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer the form; who is logged in already goes on to where he wanted."""
        target = safe(request.query.get("to"))
        try:
            await self._access.enter(request)
        except NotAuthenticated:
            return self._form(request, target)
        return redirect(target)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Begin a session for who gives a user's name and password.

        That the form comes from our own page is said by the browser alone: there is no session
        yet that a token could belong to.
        """
        require_same_origin(request)
        form = await read_form(request, FORM_BYTES_MAX)
        query = Parameters(form, "name", "password", "to")
        name = query.read("name", read_name)
        password = form.get("password", "")
        for field in ("name", "password"):
            if not form.get(field):
                query.refuse(field, "must be given")
        query.check()
        target = safe(form.get("to"))
        try:
            with self._taken_in_hand(household_of(self._site.clients.of(request))):
                account = await self._prove(request, name or "", password)
        except TooManyRequests as error:
            request[ANSWER], request[DENIAL] = TOO_MANY.name, str(error)
            response = self._form(request, target, name or "", error)
            response.headers[hdrs.RETRY_AFTER] = error.retry_after
            return response
        except NotAuthenticated as error:
            request[ANSWER], request[DENIAL] = UNAUTHORIZED.name, str(error)
            return self._form(request, target, name or "", error)
        return await self._begin(request, account, target)

    @contextmanager
    def _taken_in_hand(self, household: str) -> Iterator[None]:
        """Have one more login in hand. Raises when there are too many, of one household or all."""
        if self._in_hand[household] >= OF_HOUSEHOLD_MAX:
            raise TooManyRequests("Too many log in at once from there.", after_seconds=1.0)
        if self._in_hand.total() >= IN_HAND_MAX:
            raise LedgerUnavailable("Too many log in at once.")
        self._in_hand[household] += 1
        try:
            yield
        finally:
            self._in_hand[household] -= 1
            if not self._in_hand[household]:
                del self._in_hand[household]

    async def _prove(self, request: web.Request, name: str, password: str) -> Account:
        """Give the account that name and password are of.

        The same is done, and takes as long, for a name that nobody has.
        """
        mark = self._access.cookie(request, BROWSER_COOKIE)
        # One at a time: guesses never take the connections that sessions are looked up by.
        async with self._counting:
            account = await self._logins.account(name)
            guess = guess_of(name, self._site.clients.of(request), account, mark)
            await self._throttle.count(guess)
        checked = await self._check(guess, account, password)
        if account is None:
            # Not what was typed: it may be a password.
            raise NotAuthenticated("Nobody has that name.")
        if not checked.fits:
            raise NotAuthenticated(f"A wrong password for {account.name}.")
        if account.disabled:
            raise NotAuthenticated(f"{account.name} is disabled.")
        await self._throttle.was_right(guess)
        if checked.new_hash is not None:
            await self._logins.replace_hash(account, checked.new_hash)
            account = await self._logins.account(name)
            if account is None or account.password_hash != checked.new_hash:
                raise NotAuthenticated("The password was changed meanwhile.")
        return account

    async def _check(self, guess: Guess, account: Account | None, password: str) -> Checked:
        """Look whether a password fits, in a thread, when it is this one's turn."""
        kept = None if account is None else account.password_hash

        def work() -> Checked:
            if not is_short_enough(password) or not self._passwords.fits(password, kept):
                return Checked(fits=False, new_hash=None)
            if kept is not None and self._passwords.is_outdated(kept):
                return Checked(fits=True, new_hash=self._passwords.hash(password))
            return Checked(fits=True, new_hash=None)

        desk = self._strangers if guess.name is not None else self._known
        try:
            return await desk.do(work)
        except LedgerUnavailable:
            await self._throttle.was_none(guess)
            raise

    async def _begin(
        self, request: web.Request, account: Account, target: str
    ) -> web.StreamResponse:
        """Begin a session with a new secret, whatever the browser had before."""
        client = self._site.clients.of(request)
        browser = request.headers.get(hdrs.USER_AGENT, "")[:BROWSER_CHARACTERS_MAX]
        await self._trail.done("login", account.name, client, "", request[REQUEST_ID])
        secret = new_secret()
        has_begun = await self._logins.begin(
            account,
            hash_of(secret),
            client=client,
            browser=_readable(browser),
            instead=self._access.session_before(request),
        )
        if not has_begun:
            error = NotAuthenticated(f"{account.name} may not log in any more.")
            request[ANSWER], request[DENIAL] = UNAUTHORIZED.name, str(error)
            said = ("login", account.name, client, "", str(error), request[REQUEST_ID])
            self._trail.failed(*said)
            return self._form(request, target, account.name, error)
        response = redirect(target)
        self._access.set_cookie(request, response, SESSION_COOKIE, secret)
        mark = self._access.cookie(request, BROWSER_COOKIE)
        if not is_known(account, mark):
            mark = new_mark(account)
        self._access.set_cookie(request, response, BROWSER_COOKIE, mark, BROWSER_SECONDS)
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """End the session, or all that the user has."""
        form = await self._site.posted(request)
        query = Parameters(form, "everywhere")
        query.check()
        session = request[SESSION]
        action = "logout everywhere" if "everywhere" in form else "logout"
        client = self._site.clients.of(request)
        await self._trail.done(action, session.who.name, client, "", request[REQUEST_ID])
        if "everywhere" in form:
            await self._logins.end_all(session.who.user_id)
        else:
            await self._logins.end(session.hash)
        response = redirect(LOGIN)
        self._access.drop_cookie(request, response, SESSION_COOKIE)
        return response

    async def sessions(self, request: web.Request) -> web.StreamResponse:
        """Answer where one is logged in."""
        Parameters(request.query).check()
        session = request[SESSION]
        found = await self._logins.sessions(session.who.user_id, session.hash)
        return self._site.render(request, "sessions.html", sessions=found)

    def _form(
        self,
        request: web.Request,
        target: str,
        name: str = "",
        error: NotAuthenticated | TooManyRequests | None = None,
    ) -> web.Response:
        """Answer the form, and what was wrong; never which of the two it was."""
        status = 200 if error is None else 429 if isinstance(error, TooManyRequests) else 401
        wait = ceil(error.after_seconds) if isinstance(error, TooManyRequests) else None
        return self._site.render(
            request,
            "login.html",
            status=status,
            target=target,
            name=name,
            is_wrong=status == 401,
            wait_seconds=wait,
        )


def _readable(text: str) -> str:
    return (
        "".join(one if one.isprintable() else "?" for one in text)
        .encode("utf-8", "replace")
        .decode()
    )
