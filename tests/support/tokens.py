"""API tokens, made as the command makes them, and a service that asks for them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession

from ostatok import api_token
from ostatok.api_token import NewToken
from ostatok.settings import Settings
from ostatok_db.tokens import Token, TokenSession
from ostatok_http.doors.identity import SCOPES
from support.payments import MOMENT

StartGuarded = Callable[..., Awaitable[ClientSession]]
"""Starts a service that asks for tokens, and gives a client of it once it has loaded them."""


def make_token(
    database: Settings,
    *scopes: str,
    name: str = "crm",
    inns: list[str] | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """Make a token, with all scopes when none is given."""
    new = api_token.make()
    chosen = list(scopes or SCOPES)
    token = Token(new.id, name, chosen, inns, MOMENT, "test", expires_at, None, None)
    with closing(TokenSession.connect(database)) as session:
        session.create(token, api_token.hash_of(new.text), host="desk")
    return new


def revoke(database: Settings, token: NewToken) -> None:
    """End it."""
    with closing(TokenSession.connect(database)) as session:
        session.revoke(token.id, by="test", host="desk")


def bearer(token: NewToken) -> dict[str, str]:
    """The header that gives it."""
    return {"Authorization": f"Bearer {token.text}"}


async def eventually(holds: Callable[[], Awaitable[Any]], what: str) -> None:
    """Wait until something holds, for so long as it may reasonably take."""
    try:
        async with asyncio.timeout(15):
            while not await holds():  # noqa: ASYNC110  # what another process has to do
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true") from None


async def status(client: ClientSession, path: str, token: NewToken | None) -> int:
    """Ask, and give the status alone."""
    async with client.get(path, headers=bearer(token) if token else {}) as answer:
        return answer.status


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)
