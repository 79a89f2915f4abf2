"""The HTTP service in this process, on a free port, with what stands for its ports."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web

from ostatok.settings import load
from ostatok_db.history import History
from ostatok_db.pool import Pool, WritePool
from ostatok_http.app import create_app, make_runner
from ostatok_http.console.world import Reads
from ostatok_http.listening import tls_of
from ostatok_http.parts import Ports
from ostatok_http.ports import Journal, LedgerReader, RecordSource, TopicView
from support.webhooks import EmptyLedger, NoRecords, RecordingJournal, Serve, TheTopic


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
            pool: Pool | None = None,
            **settings: Any,
        ) -> ClientSession:
            settings_ = load(**{"log_operations": False, "http_drain_seconds": 2, **settings})
            pool = pool or Pool(settings_)
            ports = Ports(
                journal or RecordingJournal(),
                view or TheTopic(),
                records or NoRecords(),
                ledger or EmptyLedger(),
                history or History(settings_, pool),
                Reads.make(settings_, pool),
                WritePool(settings_),
            )
            app = create_app(settings_, ports)
            runner = make_runner(app, settings_)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            backlog, tls = settings_.http_backlog_connections, tls_of(settings_)
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=backlog, ssl_context=tls).start()
            port = runner.addresses[0][1]
            return await stack.enter_async_context(ClientSession(f"http://127.0.0.1:{port}"))

        yield start
