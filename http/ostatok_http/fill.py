"""How full the service's queues are, looked at every few seconds.

Not counted on the way of a webhook or of a balance read: that would cost each of them.
"""

import asyncio
import math

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from ostatok.errors import LedgerError
from ostatok.settings import Settings
from ostatok_db.pool import PoolUse
from ostatok_http.giving_up import give_up
from ostatok_http.ports import Journal, LedgerReader

LOOK_SECONDS = 5.0
LOOKS_A_COUNT = 12
"""Dead letters are counted at every twelfth look, once a minute: each of them is looked at."""

log = structlog.get_logger()


class Gauges:
    """What a look shows. Those of several workers add up."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        def gauge(name: str, what: str, mode: str = "livesum", *labels: str) -> Gauge:
            return Gauge(
                f"ostatok_http_{name}",
                what,
                labels,
                multiprocess_mode=mode,  # type: ignore[arg-type]  # one of a dozen literals
                registry=registry,
            )

        self.queue_records = gauge(
            "producer_queue_records", "Records in librdkafka's queue, acknowledged ones too"
        )
        self.queue_records_max = gauge(
            "producer_queue_records_max", "Records that librdkafka's queue takes"
        )
        connections = gauge(
            "database_connections", "Connections to Postgres, by state", "livesum", "state"
        )
        self.connections_used = connections.labels("used")
        self.connections_idle = connections.labels("idle")
        self.connections_max = gauge(
            "database_connections_max", "Connections to Postgres there may be"
        )
        self.waiting_reads = gauge(
            "database_waiting_reads", "Reads that wait for a connection to Postgres"
        )
        self.waited_seconds = Counter(
            "ostatok_http_database_wait_seconds",
            "Time that reads have waited for a connection to Postgres, all together",
            registry=registry,
        )
        self.refused_reads = Counter(
            "ostatok_http_database_refused_reads",
            "Reads that got no connection to Postgres",
            registry=registry,
        )
        undecided = gauge(
            "undecided_dead_letters",
            "Dead letters that nobody has redriven or discarded, counted once a minute",
            "livemax",
            "topic",
        )
        oldest_seconds = gauge(
            "oldest_undecided_dead_letter_seconds",
            "Time since the oldest of them was received; 0 when there is none",
            "livemax",
            "topic",
        )
        self.undecided: tuple[Gauge, Gauge] | None = None
        """How many dead letters, and their oldest one's seconds; only of the worker that counts."""
        if settings.http_worker == 0:  # They are the same for all workers of a service.
            self.undecided = undecided.labels(settings.topic), oldest_seconds.labels(settings.topic)
            for one in self.undecided:
                one.set(math.nan)  # 0 would say that nobody has to decide.


class Fill:
    """The task that looks, for as long as journal and ledger are open."""

    def __init__(self, journal: Journal, ledger: LedgerReader, gauges: Gauges) -> None:
        self._journal = journal
        self._ledger = ledger
        self._gauges = gauges
        self._waited_seconds = 0.0
        self._refused = 0

    async def __aenter__(self) -> None:
        self._looking = asyncio.create_task(self._look_around())

    async def __aexit__(self, *_: object) -> None:
        await give_up(self._looking)

    async def _look_around(self) -> None:
        looks = 0
        while True:
            try:
                self._look()
                if self._gauges.undecided is not None and looks % LOOKS_A_COUNT == 0:
                    await self._count_dead_letters(*self._gauges.undecided)
            except Exception:  # A bug must not end the looking without a word.
                log.exception("fill_look_failed")
            looks += 1
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        queue = self._journal.queue()
        self._gauges.queue_records.set(queue.records)
        self._gauges.queue_records_max.set(queue.records_max)
        self._show_pool(self._ledger.pool_use())

    def _show_pool(self, use: PoolUse) -> None:
        gauges = self._gauges
        gauges.connections_used.set(use.connections - use.idle)
        gauges.connections_idle.set(use.idle)
        gauges.connections_max.set(use.connections_max)
        gauges.waiting_reads.set(use.waiting)
        gauges.waited_seconds.inc(use.waited_seconds - self._waited_seconds)
        gauges.refused_reads.inc(use.refused - self._refused)
        self._waited_seconds, self._refused = use.waited_seconds, use.refused

    async def _count_dead_letters(self, letters: Gauge, oldest_seconds: Gauge) -> None:
        try:
            found = await self._ledger.undecided_dead_letters()
        except LedgerError as error:  # Also when the right to look at the decisions is missing.
            log.info("dead_letters_uncounted", reason=str(error))
        else:
            letters.set(found.letters)
            oldest_seconds.set(found.oldest_seconds)
