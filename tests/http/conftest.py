"""The HTTP service on a free port, with a journal and a ledger that the test looks into."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web
from support.webhooks import EmptyLedger, NoRecords, RecordingJournal, Serve, TheTopic

from ostatok.settings import load
from ostatok_db.history import History
from ostatok_db.pool import Pool
from ostatok_http.app import Ports, create_app, make_runner
from ostatok_http.ports import Journal, LedgerReader, RecordSource, TopicView


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start services: each call gives a client of one with this journal, ledger and settings."""
    async with AsyncExitStack() as stack:

        async def start(
            journal: Journal | None = None,
            ledger: LedgerReader | None = None,
            view: TopicView | None = None,
            records: RecordSource | None = None,
            history: History | None = None,
            **settings: Any,
        ) -> ClientSession:
            settings_ = load(**{"log_operations": False, "http_drain_seconds": 2, **settings})
            ports = Ports(
                journal or RecordingJournal(),
                view or TheTopic(),
                records or NoRecords(),
                ledger or EmptyLedger(),
                history or History(settings_, Pool(settings_)),
            )
            app = create_app(settings_, ports)
            runner = make_runner(app, settings_)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            return await stack.enter_async_context(ClientSession(f"http://127.0.0.1:{port}"))

        yield start


@pytest.fixture
def journal() -> RecordingJournal:
    """Give the journal that the test looks into."""
    return RecordingJournal()


@pytest.fixture
async def client(serve: Serve, journal: RecordingJournal) -> ClientSession:
    """Give a client of a service that publishes to ``journal``."""
    return await serve(journal=journal)
