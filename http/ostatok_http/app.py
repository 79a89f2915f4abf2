"""The HTTP service put together: what answers where, and how one process of it lives and ends."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog
import uvloop
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import disable_created_metrics

from ostatok import garbage, logs
from ostatok.errors import OstatokError
from ostatok.payment import BODY_BYTES_MAX
from ostatok.record_reader import RecordReader
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.history import History
from ostatok_db.pool import Pool, WritePool
from ostatok_db.reading import Reader
from ostatok_db.trail import TrailStore
from ostatok_http.answers import Answering
from ostatok_http.balance import BalanceEndpoint, Balances
from ostatok_http.console.world import Reads, World
from ostatok_http.dead_letters import DeadLetterEndpoints
from ostatok_http.documents.serving import Documents
from ostatok_http.doors.guard import Guard
from ostatok_http.doors.trail import Trail
from ostatok_http.fast_path import BALANCE, FAST_PATH, WEBHOOK, FastPath, Runner
from ostatok_http.fill import Fill
from ostatok_http.health import Health
from ostatok_http.history import HistoryEndpoints
from ostatok_http.journal_check import JournalCheck
from ostatok_http.letter_desk import LetterDesk
from ostatok_http.metrics import Metrics
from ostatok_http.operations import OperationEndpoint
from ostatok_http.ports import Journal, LedgerReader, RecordSource, TopicView
from ostatok_http.progress import Progress
from ostatok_http.publisher import Publisher
from ostatok_http.receiver import Receiver
from ostatok_http.statement import StatementEndpoint
from ostatok_http.story import Stories
from ostatok_http.traces import Traces
from ostatok_http.unapplied import TAIL_SECONDS_MAX, Unapplied
from ostatok_http.verdicts import Verdicts
from ostatok_http.watermark import Watermark

KEEPALIVE_SECONDS = 75.0
HEADER_BYTES_MAX = 8_190
HEADERS_MAX = 64
LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and dropped, so that the sender sees the refusal."""

CLOSE_SECONDS_MIN = 0.5
"""What the producer has at the least for its last words when the drain took all its time."""

ORGANIZATION = "/api/organizations/{inn:[^/]*}"
OPERATION = "/api/operations/{operation_id:[^/]*}"

log = structlog.get_logger()


class Ports(NamedTuple):
    """The world of the service: see ports.py."""

    journal: Journal
    topic: TopicView
    records: RecordSource
    ledger: LedgerReader
    history: History
    reads: Reads
    writes: WritePool


def create_app(settings: Settings, ports: Ports) -> web.Application:
    """Put the service together. It opens journal and ledger itself, and closes them at its end."""
    journal, topic, records, ledger, past, reads, writes = ports
    metrics = Metrics(settings)
    trail = Trail(TrailStore(writes))
    guard = Guard.make(settings, writes)
    traces = Traces.make(settings)
    watermark = Watermark.open(settings)
    progress = Progress(ledger, settings.http_requests_max)
    balances = Balances(settings, ledger, topic, watermark, progress)
    journal_check = JournalCheck(settings, topic, ledger, watermark, metrics)
    verdicts = Verdicts(settings, progress, past)
    receiver = Receiver(settings, journal, journal_check, watermark, metrics, verdicts, traces)
    balance = BalanceEndpoint(balances, metrics)
    history = HistoryEndpoints(balances, balance, past)
    unapplied = Unapplied(ledger, topic, records)
    health = Health(journal, journal_check, ledger)
    answering = traces.answering(metrics, trail) if traces else Answering(settings, metrics, trail)
    desk = LetterDesk(settings, journal, journal_check, watermark, trail)
    app = web.Application(middlewares=[answering.middleware], client_max_size=BODY_BYTES_MAX)
    app[FAST_PATH] = FastPath(answering, receiver.receive, guard.around_balance(balance.of))
    _add_endpoints(
        app.router,
        ("POST", "webhook", WEBHOOK, receiver.receive),
        *(
            ("GET", name, path, guard.around(name, handler))
            for name, path, handler in (
                ("balance", BALANCE.format("{inn:[^/]*}"), history.balance),
                ("log", ORGANIZATION + "/log", history.log),
                ("statement", ORGANIZATION + "/statement", StatementEndpoint(balances, past).get),
                ("operation", OPERATION, OperationEndpoint(Stories(past, unapplied)).get),
            )
        ),
    )
    world = World(ledger, topic, records, reads, unapplied, journal_check, desk, trail)
    _add_for_operators(app, settings, world, guard)
    Documents(settings).add_to(app.router)
    looks = {"healthz": health.alive, "readyz": health.ready, "metrics": metrics.page}
    for name, look in looks.items():
        app.router.add_get(f"/{name}", look, name=name)

    async def lifecycle(_app: web.Application) -> AsyncIterator[None]:
        if traces is not None:
            traces.start(app.router)
        await journal.open()
        await ledger.open()
        await journal_check.open()
        async with Fill(journal, ledger, metrics.fill), trail, guard:
            yield
        await journal.close(drain.seconds_left())
        await journal_check.close()
        for one in (balances, progress, unapplied, health):
            one.close()
        await ledger.close()
        await writes.close()
        watermark.close()
        if traces is not None:
            await traces.close(drain.seconds_left())

    drain = _Drain(settings.http_drain_seconds)

    async def begin_drain(_app: web.Application) -> None:
        drain.begin()
        progress.give_up()

    app.cleanup_ctx.append(lifecycle)
    # Before the console lets go of those who watch, which may take a moment of the drain.
    app.on_shutdown.insert(0, begin_drain)
    return app


def _add_endpoints(router: web.UrlDispatcher, *endpoints: tuple[str, str, str, Handler]) -> None:
    """Answer at each address with a slash at its end and without.

    A sender that leaves it out means the same, and a redirect would lose its body.
    """
    for method, name, path, handler in endpoints:
        for end, bare in (("/", ""), ("", ".bare")):
            add = router.add_get if method == hdrs.METH_GET else router.add_post
            add(path + end, handler, name=f"{name}{bare}")


def _add_for_operators(
    app: web.Application, settings: Settings, world: World, guard: Guard
) -> None:
    """Add what operators use, where the settings want it."""
    if settings.serves_operators:
        DeadLetterEndpoints(settings, world.desk, guard).add_to(app.router)
    if settings.serves("console"):
        # Loaded only here: it brings a template engine along.
        from ostatok_http.console.app import add_console  # noqa: PLC0415

        add_console(app, settings, world)


def make_runner(app: web.Application, settings: Settings) -> web.AppRunner:
    """Serve ``app`` with this service's limits on what a client may do."""
    return Runner(
        app,
        access_log=None,  # Each webhook is an event of our own.
        auto_decompress=False,  # A compressed body is refused, so it is never inflated.
        keepalive_timeout=KEEPALIVE_SECONDS,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        max_headers=HEADERS_MAX,
        lingering_time=LINGERING_SECONDS,
        # aiohttp waits as long twice: for the handlers, then for those whose body it cut off.
        shutdown_timeout=settings.http_drain_seconds / 2,
    )


def run(settings: Settings) -> None:
    """Be one process of the service, until SIGTERM or SIGINT; a second one ends it at once.

    Raises :class:`OstatokError` when it can't listen.
    """
    logs.configure(settings)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    _on_signals(stopping)
    pool = Pool(settings)
    ports = Ports(
        Publisher(settings),
        Topic(settings),
        RecordReader(settings, "http", silent_seconds_max=TAIL_SECONDS_MAX),
        Reader(settings, pool),
        History(settings, pool),
        Reads.make(settings, pool),
        WritePool(settings),
    )
    app = create_app(settings, ports)
    runner = make_runner(app, settings)
    await runner.setup()
    garbage.look_seldom()
    try:
        await _listen(runner, settings)
        host, port = runner.addresses[0][:2]
        log.info("http_listening", host=host, port=port, worker=settings.http_worker)
        await stopping.wait()
        log.info("http_stopping", worker=settings.http_worker)
    finally:
        await runner.cleanup()
    log.info("http_stopped", worker=settings.http_worker)


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    host, port = settings.http_host, settings.http_port
    site = web.TCPSite(
        runner,
        host,
        port,
        backlog=settings.http_backlog_connections,
        reuse_port=settings.http_workers > 1,
    )
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OstatokError(
                f"Port {port} on {host} is in use.",
                hint=f"Stop what listens there, or set {PREFIX}HTTP_PORT to another port.",
            ) from error
        raise OstatokError(
            f"Listening on {host}, port {port}, is not possible: {error.strerror or error}.",
            hint=f"See {PREFIX}HTTP_HOST and {PREFIX}HTTP_PORT.",
        ) from error


def _on_signals(stopping: asyncio.Event) -> None:
    """Stop in order at the first signal, at once when the same one comes again.

    The same one: Ctrl-C reaches a whole group of processes, and then their supervisor's SIGTERM
    comes too.
    """
    seen: set[int] = set()

    def stop(number: int) -> None:
        if number in seen:
            os._exit(128 + number)
        seen.add(number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


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
