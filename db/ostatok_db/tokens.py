"""API tokens as Postgres keeps them: who has which, what it allows, and its hash."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from psycopg.rows import TupleRow

from ostatok.errors import OstatokError
from ostatok_db.connection import service_errors
from ostatok_db.pool import Connections
from ostatok_db.queries import queries
from ostatok_db.session import Session
from ostatok_db.trail import Trailed, note

TOKENS_MAX = 10_000
"""Tokens that work at the same time: each http process holds all of them."""

INNS_MAX = 1_000
"""INNs of one token."""

ALL_INNS_MAX = 200_000
"""INNs of all tokens that work, together."""

STATEMENT_SECONDS_MAX = 5.0


class Token(msgspec.Struct, frozen=True):
    """What is told of a token; never what it is recognised by."""

    id: str
    name: str
    scopes: list[str]
    inns: list[str] | None
    """None for all."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class Allowed(msgspec.Struct, frozen=True):
    """What a token is recognised by, and what it allows."""

    id: str
    name: str
    hash: bytes
    scopes: frozenset[str]
    inns: frozenset[str] | None
    expires_at: float | None
    """Seconds of Unix time."""


class Loaded(NamedTuple):
    """The tokens that work, as one look has found them."""

    digest: str
    """Of all of them: what is equal is the same."""
    tokens: Sequence[Allowed] | None
    """None when the digest is the one that was known."""


class TokenStore:
    """Tokens, for a service. All raise :class:`LedgerUnavailable`."""

    def __init__(self, writes: Connections) -> None:
        """Ask by these connections, which are of a primary."""
        self._writes = writes

    async def load(self, known: str) -> Loaded:
        """Give the tokens that work, unless they are the ``known`` ones."""
        async with self._writes.connection() as connection:
            cursor = await connection.execute(queries["load_tokens"], {"known": known})
            rows = await cursor.fetchall()
        digest = rows[0][0]
        if digest == known:
            return Loaded(digest, None)
        return Loaded(digest, [_allowed(row[1:]) for row in rows if row[1] is not None])

    async def note_use(self, used: Mapping[str, float]) -> None:
        """Keep when tokens were last used: id → seconds of Unix time."""
        values = {
            "ids": list(used),
            "at": [datetime.fromtimestamp(at, UTC) for at in used.values()],
        }
        async with self._writes.connection() as connection:
            await connection.execute(queries["note_token_use"], values)


def _allowed(row: TupleRow) -> Allowed:
    return msgspec.convert(dict(zip(Allowed.__struct_fields__, row, strict=True)), Allowed)


class TokenSession(Session):
    """Tokens, for a command. All block, and raise :class:`LedgerUnavailable`."""

    name = "tokens"
    writes = True
    statement_seconds_max = STATEMENT_SECONDS_MAX

    def create(self, token: Token, hashed: bytes, *, host: str) -> None:
        """Keep a token, and who made it in the trail; its times are the database's.

        Raises :class:`OstatokError` when there are too many, or one that works has its name.
        """
        values = {**msgspec.structs.asdict(token), "hash": hashed}
        with service_errors(), self._connection.transaction():
            self._connection.execute(queries["lock_tokens"])
            self._connection.execute(queries["retire_expired_token"], {"name": token.name})
            cursor = self._connection.execute(queries["find_live_token"], {"name": token.name})
            ((namesake, tokens, inns),) = cursor.fetchall()
            if namesake is not None:
                raise OstatokError(
                    f"The token {namesake} is named {token.name} too.",
                    hint=f"Give another name, or end it: ostatok token revoke {namesake}",
                )
            if tokens >= TOKENS_MAX or inns + len(token.inns or ()) > ALL_INNS_MAX:
                raise OstatokError(
                    f"There are {tokens:,} tokens with {inns:,} INNs, and can be {TOKENS_MAX:,} "
                    f"with {ALL_INNS_MAX:,}.",
                    hint="Revoke what nobody uses: `ostatok token list` says when each was used.",
                )
            self._connection.execute(queries["add_token"], values)
            note(self._connection, _creation(token, host))

    def revoke(self, token_id: str, *, by: str, host: str) -> str:
        """End a token, with a row in the trail, and give its name.

        Raises :class:`OstatokError` when there is none of that id, or it was revoked before.
        """
        with service_errors(), self._connection.transaction():
            cursor = self._connection.execute(queries["revoke_token"], {"id": token_id})
            rows = cursor.fetchall()
            if not rows:
                raise OstatokError(
                    f"There is no token {token_id} to revoke.",
                    hint="`ostatok token list --all` has them all, and when each was revoked.",
                )
            about = f"{token_id} ({rows[0][0]})"
            note(self._connection, Trailed("done", "token revoke", by, host, about))
        return str(rows[0][0])

    def find(self, *, everything: bool) -> list[Token]:
        """Give the tokens that work, or all there ever were, the first made first."""
        with service_errors():
            rows = self._connection.execute(queries["list_tokens"], {"all": everything})
            return [Token(*row) for row in rows.fetchall()]


def _creation(token: Token, host: str) -> Trailed:
    inns = "" if token.inns is None else f"; {len(token.inns)} INNs"
    about = f"{token.id} ({token.name}): {', '.join(token.scopes)}{inns}"
    return Trailed("done", "token create", token.created_by, host, about)
