"""Logins to the console as the service sees them: accounts, sessions, and the counts of guesses.

All is asked of a primary: a session that was ended is ended for the next request already.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from ostatok.settings import Settings
from ostatok_db.pool import Connections
from ostatok_db.queries import queries
from ostatok_db.users import lifetimes

SESSIONS_MAX = 20
"""Browsers in which one user is logged in; with one more the oldest session ends."""

TOUCH_SECONDS = 60.0
"""How exactly it is kept when a session was used last: writing it each time would cost more."""

FAILURES_KEPT_SECONDS = 3_600.0
"""After so long without another guess a count begins anew."""

FAILURES_MAX = 100_000
"""Counts that are kept; of more the oldest go."""

DROP_EACH = 100
"""After so many guesses that a process counted it drops the old ones."""


class Account(msgspec.Struct, frozen=True):
    """What a login is checked against."""

    id: int
    name: str
    role: str
    password_hash: str
    disabled: bool


class LoggedIn(msgspec.Struct, frozen=True):
    """Whose session it is."""

    user_id: int
    name: str
    role: str


class SessionRow(msgspec.Struct, frozen=True):
    """One session of a user, as he sees it."""

    is_this: bool
    """It is the one by which he asks."""
    client: str
    browser: str
    created_at: datetime
    seen_at: datetime
    """To the minute."""


class Tally(NamedTuple):
    """What was counted for a key."""

    failures: int
    wait_seconds: float
    """Until when the next may come; below 0 when it may."""


Judge = Callable[[Mapping[bytes, Tally]], Mapping[bytes, float]]
"""Says of each key how long the one after this one has to wait, or raises when this one has to."""


class Logins:
    """Accounts and sessions. All raise :class:`LedgerUnavailable`."""

    def __init__(self, settings: Settings, writes: Connections) -> None:
        self._writes = writes
        self._lifetimes = lifetimes(settings)

    async def account(self, name: str) -> Account | None:
        """Find the account of a name."""
        async with self._writes.connection() as connection:
            cursor = await connection.execute(queries["find_account"], {"name": name})
            row = await cursor.fetchone()
        return None if row is None else Account(*row)

    async def replace_hash(self, account: Account, new: str) -> None:
        """Keep a password in another form, unless it was changed meanwhile."""
        values = {"id": account.id, "old": account.password_hash, "new": new}
        async with self._writes.connection() as connection:
            await connection.execute(queries["replace_hash"], values)

    async def begin(
        self, account: Account, new: bytes, *, client: str, browser: str, instead: bytes | None
    ) -> bool:
        """Begin a session, and end the one that the browser had before.

        False when the account may not log in any more, or has another password by now.
        """
        who = {"id": account.id, "password_hash": account.password_hash}
        kept = {"hash": new, "id": account.id, "client": client, "browser": browser}
        rest = {**self._lifetimes, "id": account.id, "sessions_max": SESSIONS_MAX}
        async with self._writes.connection() as connection, connection.transaction():
            cursor = await connection.execute(queries["lock_account"], who)
            if await cursor.fetchone() is None:
                return False
            if instead is not None:
                await connection.execute(queries["end_session"], {"hash": instead})
            await connection.execute(queries["begin_session"], kept)
            await connection.execute(queries["drop_old_sessions"], rest)
        return True

    async def find(self, session: bytes, *, touch: bool = True) -> LoggedIn | None:
        """Say whose session it is, if it can be used; ``touch`` keeps it from getting idle."""
        values = {**self._lifetimes, "hash": session, "touch_seconds": TOUCH_SECONDS}
        async with self._writes.connection() as connection:
            cursor = await connection.execute(queries["find_session"], values)
            row = await cursor.fetchone()
            if row is None:
                return None
            *found, is_stale = row
            if touch and is_stale:
                await connection.execute(queries["touch_session"], {"hash": session})
        return LoggedIn(*found)

    async def end(self, session: bytes) -> None:
        """End a session."""
        async with self._writes.connection() as connection:
            await connection.execute(queries["end_session"], {"hash": session})

    async def end_all(self, user_id: int) -> None:
        """End all sessions of a user."""
        async with self._writes.connection() as connection:
            await connection.execute(queries["end_sessions"], {"id": user_id})

    async def sessions(self, user_id: int, this: bytes) -> list[SessionRow]:
        """List the sessions of a user, the latest first."""
        values = {**self._lifetimes, "id": user_id, "hash": this}
        async with self._writes.connection() as connection:
            cursor = await connection.execute(queries["list_sessions"], values)
            return [SessionRow(*row) for row in await cursor.fetchall()]


class Failures:
    """Counts of guesses, which all processes share. All raise :class:`LedgerUnavailable`."""

    def __init__(self, writes: Connections) -> None:
        self._writes = writes
        self._counted = 0

    async def count(self, keys: Sequence[bytes], judge: Judge) -> None:
        """Count a guess for each key before it is looked at, unless ``judge`` raises.

        Before: of many at once, none must pass because none of them has failed yet.
        """
        kept = {"kept_seconds": FAILURES_KEPT_SECONDS}
        async with self._writes.connection() as connection, connection.transaction():
            cursor = await connection.execute(queries["lock_failures"], {"keys": keys, **kept})
            tallies = {bytes(key): Tally(*tally) for key, *tally in await cursor.fetchall()}
            waits = judge(tallies)
            values = {"keys": list(waits), "seconds": list(waits.values())}
            await connection.execute(queries["count_failures"], values)
        self._counted += 1
        if self._counted % DROP_EACH == 0:
            async with self._writes.connection() as connection:
                most = {"keys_max": FAILURES_MAX}
                await connection.execute(queries["drop_old_failures"], {**kept, **most})

    async def take_back(self, keys: Sequence[bytes]) -> None:
        """Count one less for each key: it was no failure."""
        async with self._writes.connection() as connection:
            await connection.execute(queries["uncount_failures"], {"keys": keys})

    async def forget(self, keys: Sequence[bytes]) -> None:
        """Forget all that was counted for these keys."""
        async with self._writes.connection() as connection:
            await connection.execute(queries["forget_failures"], {"keys": keys})
