"""The HTTP service on a free port, with a journal and a ledger that the test looks into."""

from typing import Any

import pytest
from aiohttp import ClientSession
from support.operators import StartOperators, three_letters
from support.pages import PAID, Held
from support.pages import start as start_console
from support.payments import batch, entry
from support.serving import serve
from support.tokens import StartGuarded, eventually
from support.webhooks import RecordingJournal, Serve, of_database

from ostatok.settings import Settings
from ostatok_db.ledger import Ledger
from ostatok_http.doors import tokens, trail

__all__ = ["serve"]


@pytest.fixture
def journal() -> RecordingJournal:
    """Give the journal that the test looks into."""
    return RecordingJournal()


@pytest.fixture
async def client(serve: Serve, journal: RecordingJournal) -> ClientSession:
    """Give a client of a service that publishes to ``journal``."""
    return await serve(journal=journal)


@pytest.fixture
async def start_operators(serve: Serve, database: Settings, ledger: Ledger) -> StartOperators:
    """Start services for operators, on a ledger with three dead letters."""
    await ledger.apply(batch(dead=three_letters(), first=0))

    async def start(**given: Any) -> ClientSession:
        url = database.database_url.get_secret_value()
        ports = {**of_database(database), "database_url": url}
        return await serve(**{"http_operators": True, **ports, **given})

    return start


@pytest.fixture
async def operators(start_operators: StartOperators, journal: RecordingJournal) -> ClientSession:
    """Give a client of such a service, which publishes to ``journal``."""
    return await start_operators(journal=journal)


@pytest.fixture
async def console(serve: Serve, database: Settings, ledger: Ledger) -> ClientSession:
    """Give a client of a console on a ledger with a payment and three dead letters."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    await ledger.apply(batch(entry(PAID, 10, partition=3), first=0))
    return await start_console(serve, database)


@pytest.fixture
def start_guarded(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> StartGuarded:
    """Start services that ask for tokens, and look after them often enough for a test."""
    monkeypatch.setattr(tokens, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(trail, "TICK_SECONDS", 0.05)

    async def start(**given: Any) -> ClientSession:
        ports = {**of_database(database), "view": Held(), "http_authentication": True}
        url = {"database_url": database.database_url.get_secret_value()}
        client = await serve(**{**ports, **url, **given})
        probe = {"Authorization": "Bearer of nobody"}

        async def has_loaded() -> bool:
            async with client.get("/api/operations/x/", headers=probe) as answer:
                return answer.status == 401

        await eventually(has_loaded, "loading the tokens")
        return client

    return start
