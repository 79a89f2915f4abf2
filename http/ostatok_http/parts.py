"""What the HTTP service is made of, and how all of it begins and ends together."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from aiohttp import web

from ostatok.settings import Settings
from ostatok_db.history import History
from ostatok_db.pool import WritePool
from ostatok_db.trail import TrailStore
from ostatok_http.answers import Answering
from ostatok_http.balance import BalanceEndpoint, Balances
from ostatok_http.console.world import Reads, World
from ostatok_http.doors.guard import Guard
from ostatok_http.doors.trail import Trail
from ostatok_http.fill import Fill
from ostatok_http.health import Health
from ostatok_http.history import HistoryEndpoints
from ostatok_http.journal_check import JournalCheck
from ostatok_http.letter_desk import LetterDesk
from ostatok_http.metrics import Metrics
from ostatok_http.operations import OperationEndpoint
from ostatok_http.ports import Journal, LedgerReader, RecordSource, TopicView
from ostatok_http.progress import Progress
from ostatok_http.receiver import Receiver
from ostatok_http.statement import StatementEndpoint
from ostatok_http.story import Stories
from ostatok_http.traces import Traces
from ostatok_http.unapplied import Unapplied
from ostatok_http.verdicts import Verdicts
from ostatok_http.watermark import Watermark

CLOSE_SECONDS_MIN = 0.5
"""What the producer has at the least for its last words when the drain took all its time."""


class Ports(NamedTuple):
    """The world of the service: see ports.py."""

    journal: Journal
    topic: TopicView
    records: RecordSource
    ledger: LedgerReader
    history: History
    reads: Reads
    writes: WritePool


class Parts:
    """Everything that answers, put together once. Nothing is opened before :meth:`live`."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self._ports = ports
        journal, topic, records, ledger, past, reads, writes = ports
        self.metrics = Metrics(settings)
        self.trail = Trail(TrailStore(writes))
        self.guard = Guard.make(settings, writes)
        self._traces = Traces.make(settings)
        self._watermark = Watermark.open(settings)
        self._progress = Progress(ledger, settings.http_requests_max)
        self._balances = Balances(settings, ledger, topic, self._watermark, self._progress)
        self._check = JournalCheck(settings, topic, ledger, self._watermark, self.metrics)
        self.receiver = Receiver(
            settings,
            journal,
            self._check,
            self._watermark,
            self.metrics,
            Verdicts(settings, self._progress, past),
            self._traces,
        )
        self.balance = BalanceEndpoint(self._balances, self.metrics)
        self.history = HistoryEndpoints(self._balances, self.balance, past)
        self.statement = StatementEndpoint(self._balances, past)
        self._unapplied = Unapplied(ledger, topic, records)
        self.operation = OperationEndpoint(Stories(past, self._unapplied))
        self.health = Health(journal, self._check, ledger)
        if self._traces is None:
            self.answering = Answering(settings, self.metrics, self.trail)
        else:
            self.answering = self._traces.answering(self.metrics, self.trail)
        self.world = World(
            ledger,
            topic,
            records,
            reads,
            self._unapplied,
            self._check,
            LetterDesk(settings, journal, self._check, self._watermark, self.trail),
            self.trail,
            writes,
            self.statement,
        )
        self._drain = _Drain(settings.http_drain_seconds)

    async def live(self, app: web.Application) -> AsyncIterator[None]:
        """Open journal and ledger, and close them at the end of ``app``."""
        journal, ledger = self._ports.journal, self._ports.ledger
        if self._traces is not None:
            self._traces.start(app.router)
        await journal.open()
        await ledger.open()
        await self._check.open()
        async with Fill(journal, ledger, self.metrics.fill), self.trail, self.guard:
            yield
        await journal.close(self._drain.seconds_left())
        await self._check.close()
        for one in (self._balances, self._progress, self._unapplied, self.health):
            one.close()
        await ledger.close()
        await self._ports.writes.close()
        self._watermark.close()
        if self._traces is not None:
            await self._traces.close(self._drain.seconds_left())

    async def begin_drain(self, _app: web.Application) -> None:
        """Let no read wait any more: the process ends."""
        self._drain.begin()
        self._progress.give_up()


class _Drain:
    """The time that is left of the drain."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def begin(self) -> None:
        self._until = asyncio.get_running_loop().time() + self._seconds

    def seconds_left(self) -> float:
        if self._until is None:
            return CLOSE_SECONDS_MIN
        return max(CLOSE_SECONDS_MIN, self._until - asyncio.get_running_loop().time())
