"""The Faust app: ``ostatok stream`` runs it, and so does ``faust -A ostatok_stream.app worker``.

The only module that reads the settings at import: Faust wants a module-level app.
"""

import asyncio
from typing import Any

import faust
import structlog
from faust.app.base import BootStrategy
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables import TableManager
from prometheus_client import disable_created_metrics
from yarl import URL

from ostatok import garbage, logs
from ostatok.errors import OstatokError
from ostatok.kafka import ssl_context
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings, load
from ostatok.topic import Topic
from ostatok_db.connection import conninfo
from ostatok_stream.agent import Applier
from ostatok_stream.brake import Brake
from ostatok_stream.ending import end_process
from ostatok_stream.monitoring import Monitoring
from ostatok_stream.positions import Positions, Session
from ostatok_stream.traces import Traces
from ostatok_stream.watchdog import Progress, Watchdog
from ostatok_stream.worker import Worker

log = structlog.get_logger()

QUEUE_NEVER_FULL = 100
"""Far more fetches than the brake lets through: Faust's own, which starves, never sets in."""

OLDEST_SECONDS_MAX = 2.0
"""How long Kafka may take to show the oldest records that are not applied."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"events": {"class": "ostatok.logs.LibraryHandler"}},
    "root": {"handlers": ["events"], "level": logs.LIBRARY_LEVEL},
}
"""Faust sets up logging anew when it starts; this keeps what the libraries say among our events."""

POLL_INTERVAL_SECONDS_MAX = 10 * 365 * 86_400.0


class ConsumersOnly(BootStrategy):
    """What Faust starts: not the Kafka producer that it has by default; a worker writes nothing."""

    enable_kafka_producer = False


class NoTables(TableManager):
    """Faust's tables without the second that it waits for some to be declared: there are none."""

    async def on_start(self) -> None:
        """Start at once."""
        await self._update_channels()
        await self.recovery.start()


class App(faust.App):
    """Faust's app, knowing where its partitions start and whether it got there."""

    BootStrategy = ConsumersOnly

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings
        self.journal = Topic(settings)
        self.sessions = [
            Session(conninfo(settings, name="stream", writes=True))
            for _ in range(settings.stream_connections)
        ]
        # A connection of its own: a seek must not wait for a batch that waits for Postgres.
        self._looking = Session(conninfo(settings, name="stream positions", writes=True))
        self.progress = Progress()
        self.brake = Brake()
        self._watchdog = Watchdog(self.progress)
        self.positions = Positions(self.journal, self._looking, self.progress)
        self.records = RecordReader(settings, "careful")
        self.traces = Traces.make(settings)
        oldest = RecordReader(settings, "oldest", silent_seconds_max=OLDEST_SECONDS_MAX)
        self.monitoring = Monitoring(self, settings, self.journal, self.positions, oldest)

    def worker_init(self) -> None:
        """Send events where the settings say, before anything happens that makes some."""
        logs.configure(self._settings)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        if self.traces is not None:
            self.traces.start()
        super().worker_init()

    async def on_start(self) -> None:
        """Wait for Postgres and Kafka before joining the group: a member that waits holds it up."""
        self._watchdog.start(asyncio.get_running_loop())
        try:
            await self.positions.of(())
        except OstatokError as error:
            end_process(error)
        await super().on_start()

    async def on_stop(self) -> None:
        """Wait for the batches in hand: ``close`` takes the lock that each holds.

        Only after this Faust cancels the agent.
        """
        self._watchdog.stop()
        await super().on_stop()
        await asyncio.gather(*(session.close() for session in self.sessions))
        await self._looking.close()
        if self.traces is not None:
            await self.traces.close()

    def _create_directories(self) -> None:
        """Make none: Faust's are for tables, and would lie in whatever folder we were started."""

    def on_rebalance_start(self) -> None:
        """Stop being ready while partitions move."""
        self.progress.positioned(yes=False)
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Be ready: every partition assigned has been sought to its offset."""
        super().on_rebalance_end()
        self.progress.positioned(yes=True)
        assigned = sorted(tp.partition for tp in self.consumer.assignment())
        log.info("partitions_assigned", partitions=assigned)


def _credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    context = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context=context) if context else None


def make_app(settings: Settings) -> App:
    """Put the worker together."""
    brokers = settings.kafka_bootstrap_servers.split(",")
    app = App(
        settings.stream_group,
        settings=settings,
        broker=[URL(f"ostatok://{broker.strip()}") for broker in brokers],
        broker_credentials=_credentials(settings),
        broker_client_id="ostatok-stream",
        broker_max_poll_records=settings.stream_batch_records_max * settings.stream_connections,
        # Of a paused agent aiokafka would leave the group for good; Postgres may be away for hours.
        broker_max_poll_interval=POLL_INTERVAL_SECONDS_MAX,
        broker_session_timeout=15.0,
        broker_heartbeat_interval=3.0,
        broker_rebalance_timeout=30.0,
        # An offset the topic doesn't hold is found before every seek; this is never used.
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=QUEUE_NEVER_FULL,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        logging_config=LOGGING,
        autodiscover=False,
        Worker=Worker,  # Also for `faust worker`.
        TableManager=NoTables,
    )
    applier = Applier(
        app.positions,
        app.sessions,
        app.progress,
        batch_records_max=settings.stream_batch_records_max,
        log_operations=settings.log_operations,
        traces=app.traces,
    )
    journal = app.topic(settings.topic, key_serializer="raw", value_serializer="raw", acks=False)

    @app.agent(journal, concurrency=1, name="apply")
    async def apply(fetches: Any) -> None:
        async for fetch in fetches:
            try:
                await applier.apply(fetch)
                app.brake.applied(fetch)
            except Exception as error:  # noqa: BLE001  # it ends the process, with its traceback
                end_process(error)

    return app


def run() -> None:
    """Run the worker until SIGTERM or SIGINT; ends the process, see worker.py."""
    garbage.look_seldom()
    app.worker_init()  # As `faust worker` does.
    worker = Worker(app, app.monitoring, quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


app = make_app(load())
