"""What a worker shows of itself: /healthz, /readyz, /metrics, the lag, and the courtesy commit."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ConsumerNotStarted
from mode import Service
from prometheus_client.aiohttp import make_aiohttp_handler

from ostatok.errors import JournalMismatch, JournalUnavailable, LedgerUnavailable, OstatokError
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok.topic import Range, Topic, check_held
from ostatok_stream import metrics
from ostatok_stream.ages import RecordSource
from ostatok_stream.ending import end_process
from ostatok_stream.positions import Positions
from ostatok_stream.sparing import Sparing
from ostatok_stream.watchdog import Progress

INTERVAL_SECONDS = 5.0

log = structlog.get_logger()


class Monitoring(Service):
    """A small web server and a timer beside the stream."""

    def __init__(  # one for each thing it looks at
        self,
        app: Any,
        settings: Settings,
        topic: Topic,
        positions: Positions,
        records: RecordSource,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._settings = settings
        self._topic = topic
        self._positions = positions
        self._records = records
        self._looking_at_ages = Sparing("age of what waits")
        self._applied: dict[int, int] = {}
        self._progress: Progress = app.progress
        self._runner: web.AppRunner | None = None
        self._committing: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        """Listen, or end the process when the port is taken."""
        served = web.Application()
        served.router.add_get("/healthz", _healthz)
        served.router.add_get("/readyz", self._readyz)
        served.router.add_get("/metrics", make_aiohttp_handler())
        host, port = self._settings.stream_metrics_host, self._settings.stream_metrics_port
        self._runner = web.AppRunner(served, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            end_process(
                OstatokError(
                    f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}.",
                    hint=f"Set {PREFIX}STREAM_METRICS_PORT to a free port, or to 0 for any.",
                )
            )
        log.info("worker_listening", addresses=[list(one[:2]) for one in self._runner.addresses])

    async def on_stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._progress.is_positioned:
            return web.json_response({"status": "ok"})
        return web.json_response(
            {"status": "unavailable", "missing": ["partitions: waiting for Kafka or Postgres"]},
            status=503,
        )

    @Service.task
    async def _look_around(self) -> None:
        while True:
            await self.sleep(INTERVAL_SECONDS)
            if self.should_stop:
                return  # The sleep was cut short; a look could wait for whoever is gone.
            try:
                await self._look()
            except JournalMismatch as error:
                end_process(error)
            except (LedgerUnavailable, JournalUnavailable) as error:
                log.warning("lag_unknown", reason=str(error))
                metrics.lag_records.clear()
                self._progress.looked({}, is_fetching=True)
                # A rebalance that waits for Kafka is no hang, however long it takes.
                self._progress.made()
                if isinstance(error, LedgerUnavailable):
                    await self._look_at_the_topic_alone()
            except ConsumerNotStarted:
                # Not yet, while Postgres or Kafka is away at the start; or not any more.
                self._progress.looked({}, is_fetching=True)

    async def _look(self) -> None:
        """See that the topic is still the ledger's, and how far behind it we are."""
        assigned = sorted(tp.partition for tp in self._app.consumer.assignment())
        metrics.topic_partitions.set(self._positions.partitions)
        metrics.assigned_partitions.set(len(assigned) if self._progress.is_positioned else 0)
        if not self._progress.is_positioned or not assigned:
            metrics.lag_records.clear()
            metrics.oldest_unapplied.forget()
            self._applied = {}
            self._progress.looked({}, is_fetching=True)
            if not self._progress.is_positioned:
                await self._positions.check()
            else:
                self._refresh_metadata()
            return
        stored = await self._positions.check()
        held = await asyncio.to_thread(self._topic.ranges, assigned)
        applied = {partition: stored[partition][0] for partition in assigned}
        check_held(self._topic.name, held, applied)
        lags = {one: held[one].end - applied[one] for one in assigned}
        behind = {one: (applied[one], lag) for one, lag in lags.items()}
        self._progress.looked(behind, is_fetching=self._is_fetching())
        metrics.lag_records.clear()
        for partition, lag in lags.items():
            metrics.lag_records.labels(partition).set(lag)
            metrics.next_offset.labels(partition).set(applied[partition])
        self._applied = applied
        await self._look_at_ages(held)
        if self._committing is None or self._committing.done():
            # aiokafka tries a commit without end: nobody may wait for it. Cancelled at the stop.
            self._committing = self.add_future(self._commit(applied))

    async def _look_at_the_topic_alone(self) -> None:
        """See what waits while Postgres is away: it stands where it stood, and the topic grows."""
        try:
            held = await asyncio.to_thread(self._topic.ranges, list(self._applied))
        except JournalUnavailable:
            return
        await self._look_at_ages(held)

    async def _look_at_ages(self, held: Mapping[int, Range]) -> None:
        """See how old the oldest record is that waits; a gauge must not end the worker."""
        with self._looking_at_ages:
            await metrics.oldest_unapplied.look(self._applied, held, self._records)

    def _refresh_metadata(self) -> None:
        """Make aiokafka ask for the topic's partitions again, and join anew if they changed.

        A group's leader that could not reach Kafka when it started knows no topic: it assigns no
        partition to anybody, and would ask again after five minutes. A worker that is one too many
        is told nothing new.
        """
        thread = self._app.consumer._thread  # noqa: SLF001  # only aiokafka's client can do it
        client = thread._ensure_consumer()._client  # noqa: SLF001
        thread.thread_loop.call_soon_threadsafe(client.force_metadata_update)

    def _is_fetching(self) -> bool:
        """Whether aiokafka's fetch task lives; when it dies nobody else notices."""
        consumer = self._app.consumer._thread._ensure_consumer()  # noqa: SLF001
        return not consumer._fetcher._fetch_task.done()  # noqa: SLF001

    async def _commit(self, applied: dict[int, int]) -> None:
        """Tell Kafka where the ledger stands, for lag tools alone. Nothing ever reads it back."""
        thread = self._app.consumer._thread  # noqa: SLF001  # Faust's own commit ends the consumer
        offsets = {
            TopicPartition(self._topic.name, partition): OffsetAndMetadata(next_offset, "")
            for partition, next_offset in applied.items()
        }
        try:
            consumer = thread._ensure_consumer()  # noqa: SLF001
            await thread.call_thread(consumer.commit, offsets)
        except (KafkaError, IllegalStateError, ConsumerNotStarted, TimeoutError) as error:
            log.info("courtesy_commit_failed", reason=repr(error))


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
