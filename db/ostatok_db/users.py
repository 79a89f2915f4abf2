"""The console's users, as the commands make and change them; each change with its row in the trail.

A user's row is locked before his sessions are ended: none begins meanwhile by what he may no more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import LiteralString

import msgspec

from ostatok.errors import OstatokError
from ostatok.settings import Settings
from ostatok_db.connection import service_errors
from ostatok_db.queries import queries
from ostatok_db.session import Session
from ostatok_db.trail import Trailed, note

USERS_MAX = 1_000
STATEMENT_SECONDS_MAX = 5.0


class Role(StrEnum):
    """What a user may do in the console."""

    VIEWER = "viewer"
    """See everything of payers, and decide nothing."""
    OPERATOR = "operator"
    """Decide about dead letters, and see the trail, too."""


class User(msgspec.Struct, frozen=True):
    """A user, less his password."""

    id: int
    name: str
    role: str
    """A :class:`Role`, or one that another version has."""
    created_at: datetime
    created_by: str
    password_at: datetime
    """Since when he has his password."""
    disabled_at: datetime | None
    sessions: int
    """In how many browsers he is logged in."""


class Users(Session):
    """A command's connection. All methods block, and raise :class:`LedgerUnavailable`.

    Those that change a user raise :class:`OstatokError` when there is none of that name.
    """

    name = "users"
    writes = True
    statement_seconds_max = STATEMENT_SECONDS_MAX

    def create(self, name: str, role: Role, password_hash: str, done: Trailed) -> None:
        """Make a user. Raises :class:`OstatokError` when the name is taken, or at the limit."""
        values = {
            "name": name,
            "role": role,
            "password_hash": password_hash,
            "by": done.who,
            "users_max": USERS_MAX,
        }
        with service_errors(), self._connection.transaction():
            if not self._connection.execute(queries["create_user"], values).fetchall():
                raise OstatokError(
                    f"There is a user {name} already, or there are {USERS_MAX:,} users.",
                    hint="A disabled one counts too: `ostatok user list` shows all.",
                )
            note(self._connection, done)

    def find_all(self, settings: Settings) -> list[User]:
        """All users, by their names."""
        with service_errors():
            cursor = self._connection.execute(queries["list_users"], lifetimes(settings))
            return [User(*row) for row in cursor.fetchall()]

    def set_password(self, name: str, password_hash: str, done: Trailed) -> None:
        """Give a user another password, and end his sessions."""
        with self._changing(name, done) as user:
            self._change(queries["set_password"], id=user, password_hash=password_hash)
            self._change(queries["end_sessions"], id=user)

    def set_role(self, name: str, role: Role, done: Trailed) -> None:
        """Give a user another role; his sessions have it with their next request."""
        with self._changing(name, done) as user:
            self._change(queries["set_role"], id=user, role=role)

    def disable(self, name: str, done: Trailed) -> None:
        """Let a user log in no more, and end his sessions."""
        with self._changing(name, done) as user:
            self._change(queries["disable_user"], id=user)
            self._change(queries["end_sessions"], id=user)

    def enable(self, name: str, done: Trailed) -> None:
        """Let a user log in again."""
        with self._changing(name, done) as user:
            self._change(queries["enable_user"], id=user)

    def end_sessions(self, name: str, done: Trailed) -> int:
        """Log a user out everywhere, and say of how many browsers."""
        with self._changing(name, done) as user:
            return self._change(queries["end_sessions"], id=user)

    @contextmanager
    def _changing(self, name: str, done: Trailed) -> Iterator[int]:
        """Give the user's id, in a transaction that leaves a row in the trail."""
        with service_errors(), self._connection.transaction():
            found = self._connection.execute(queries["lock_user"], {"name": name}).fetchall()
            if not found:
                raise OstatokError(
                    f"There is no user {name}.", hint="`ostatok user list` shows all."
                )
            note(self._connection, done)
            yield found[0][0]

    def _change(self, statement: LiteralString, **values: object) -> int:
        return self._connection.execute(statement, values).rowcount


def lifetimes(settings: Settings) -> dict[str, object]:
    """For how long a session can be used, as the statements name it."""
    return {
        "session_seconds": settings.console_session_seconds,
        "idle_seconds": settings.console_idle_seconds,
    }
