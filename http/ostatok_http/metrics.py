"""What the HTTP service counts, by the conventions of Prometheus.

Several workers share a folder of mapped files, and whichever is asked answers for all. The files
are named by the worker's number, not by its process id: a worker that died and came back goes on
counting in its own files, so none are left over.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.multiprocess import MultiProcessCollector

from ostatok.settings import Settings
from ostatok_http.connection_counts import ConnectionCounts
from ostatok_http.fill import Gauges
from ostatok_http.processes import WorkerProcesses

WEBHOOK_ANSWERS = (
    "accepted",
    "unauthorized",
    "too_many",
    "invalid",
    "too_large",
    "too_slow",
    "unsupported",
    "full",
    "unavailable",
    "mismatch",
    "conflict",
    "refused",
    "failed",
)
BALANCE_ANSWERS = (
    "found",
    "not_found",
    "stale",
    "unauthorized",
    "not_allowed",
    "too_many",
    "behind",
    "invalid_parameters",
    "unavailable",
    "failed",
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, float("inf"))
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The counters of this process, and the page that shows those of all workers."""

    def __init__(self, settings: Settings) -> None:
        registry = CollectorRegistry()
        if settings.http_workers_folder is None:
            ProcessCollector(registry=registry)
            self._make(registry, settings)
            self.page = make_aiohttp_handler(registry)
            return
        folder = settings.http_workers_folder / "metrics"
        folder.mkdir(mode=0o700, exist_ok=True)
        with _values_in(folder, settings.http_worker):
            self._make(registry, settings)
        shared = CollectorRegistry()
        MultiProcessCollector(shared, path=str(folder))  # type: ignore[no-untyped-call]
        shared.register(WorkerProcesses(folder, settings.http_worker, os.getpid()))
        self.page = make_aiohttp_handler(shared)

    def _make(self, registry: CollectorRegistry, settings: Settings) -> None:
        webhooks = Counter(
            "ostatok_http_webhooks",
            "Webhooks, by what was answered",
            ["answer"],
            registry=registry,
        )
        balance_reads = Counter(
            "ostatok_http_balance_reads",
            "Balance reads, by what was answered",
            ["answer"],
            registry=registry,
        )
        # Every child is made here and now: a counter that shows up with its first count is one
        # whose first count no rate() sees.
        self._answers = {
            "webhook": {answer: webhooks.labels(answer) for answer in WEBHOOK_ANSWERS},
            "balance": {answer: balance_reads.labels(answer) for answer in BALANCE_ANSWERS},
        }
        self._publish_seconds = Histogram(
            "ostatok_http_publish_seconds",
            "Time until the journal acknowledged a webhook, or did not",
            buckets=_SECONDS,
            registry=registry,
        )
        self._publishing = Gauge(
            "ostatok_http_publishing_webhooks",
            "Webhooks in hand that the journal has not acknowledged",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._publishing.set(0)
        Gauge(
            "ostatok_http_publishing_webhooks_max",
            "Webhooks that may be in hand; past it they are answered 503",
            multiprocess_mode="livesum",
            registry=registry,
        ).set(settings.http_requests_max)
        self.journal_matches = Gauge(
            "ostatok_http_journal_matches",
            "0 when webhooks are refused because the topic is not the ledger's, else 1",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.journal_matches.set(1)
        self._balance_seconds = Histogram(
            "ostatok_http_balance_seconds",
            "Time of a balance read, its wait for acknowledged webhooks included",
            buckets=_SECONDS,
            registry=registry,
        )

        self.fill = Gauges(settings, registry)
        self.connections = ConnectionCounts(registry)

    def answered(self, route: str, answer: str) -> None:
        """Count one answer of ``route``; routes that nobody counts are left out."""
        counters = self._answers.get(route)
        if counters is not None:
            counters.get(answer, counters["failed"]).inc()

    def publishing(self) -> None:
        """Count a webhook that the journal has in hand from now on."""
        self._publishing.inc()

    def published(self, seconds: float) -> None:
        """Count that the journal has acknowledged one after so long, or has not."""
        self._publish_seconds.observe(seconds)
        self._publishing.dec()

    def read(self, seconds: float) -> None:
        """Count a balance read that took so long."""
        self._balance_seconds.observe(seconds)


@contextmanager
def _values_in(folder: Path, worker: int) -> Iterator[None]:
    """Make metrics keep their values in ``folder``.

    prometheus_client decides that once, by a variable of the environment, when it is imported;
    metrics look at the decision when they are made, so it can be another one for a while.
    """
    before, environment = values.ValueClass, os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        values.ValueClass = before
        if environment is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = environment
