"""The HTTP service put together: what answers where, and how one process of it lives and ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import structlog
import uvloop
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import disable_created_metrics

from ostatok import garbage, logs
from ostatok.payment import BODY_BYTES_MAX
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.history import History
from ostatok_db.pool import Pool, WritePool
from ostatok_db.reading import Reader
from ostatok_db.trail import TrailStore
from ostatok_http.answers import Answering
from ostatok_http.balance import BalanceEndpoint, Balances
from ostatok_http.connections import Connections, raise_open_files
from ostatok_http.console.world import Reads, World
from ostatok_http.dead_letters import DeadLetterEndpoints
from ostatok_http.documents.serving import Documents
from ostatok_http.doors.guard import Guard
from ostatok_http.doors.required import require_doors
from ostatok_http.doors.senders import route_of, senders_of
from ostatok_http.doors.trail import Trail
from ostatok_http.fast_path import BALANCE, CONNECTIONS, FAST_PATH, WEBHOOK, FastPath, Runner
from ostatok_http.fast_path import Handler as Receive
from ostatok_http.fill import Fill
from ostatok_http.health import Health
from ostatok_http.history import HistoryEndpoints
from ostatok_http.journal_check import JournalCheck
from ostatok_http.letter_desk import LetterDesk
from ostatok_http.listening import listen, on_signals, tls_of
from ostatok_http.looks import LOOKS, Looks
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

_Endpoint = tuple[str, str, str, Handler]
"""Method, name of the route, address without its last slash, and what answers."""

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


def create_app(settings: Settings, ports: Ports) -> web.Application:  # noqa: PLR0915
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
    statement = StatementEndpoint(balances, past)
    unapplied = Unapplied(ledger, topic, records)
    health = Health(journal, journal_check, ledger)
    answering = Answering(settings, metrics, trail)
    if traces:
        answering = traces.answering(metrics, trail)
    desk = LetterDesk(settings, journal, journal_check, watermark, trail)
    app = web.Application(middlewares=[answering.middleware], client_max_size=BODY_BYTES_MAX)
    receivers = _receivers(settings, receiver)
    balance_of = guard.around_balance(balance.of) if settings.serves("api") else None
    app[FAST_PATH] = FastPath(answering, receivers, balance_of)
    app[CONNECTIONS] = Connections(settings, metrics.connections)
    app[LOOKS] = Looks(health.alive, health.ready, metrics.page)
    _add_endpoints(app.router, *_webhooks(receivers))
    app[LOOKS].add_to(app.router, "healthz")
    if settings.serves("api"):
        operation = OperationEndpoint(Stories(past, unapplied))
        for name, path, handler in (
            ("balance", BALANCE.format("{inn:[^/]*}"), history.balance),
            ("log", ORGANIZATION + "/log", history.log),
            ("statement", ORGANIZATION + "/statement", statement.get),
            ("operation", OPERATION, operation.get),
        ):
            _add_endpoints(app.router, ("GET", name, path, guard.around(name, handler)))
    world = World(
        ledger, topic, records, reads, unapplied, journal_check, desk, trail, writes, statement
    )
    _add_the_rest(app, settings, world, guard)

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


def _receivers(settings: Settings, receiver: Receiver) -> dict[str, Receive]:
    """Give what takes the webhooks of each source."""
    if not settings.serves("webhook"):
        return {}
    senders = senders_of(settings)
    return {sender.name: partial(receiver.receive, sender) for sender in senders}


def _webhooks(receivers: Mapping[str, Receive]) -> Iterator[_Endpoint]:
    for number, (source, receive) in enumerate(receivers.items()):
        yield "POST", route_of(source, number), WEBHOOK.format(source), receive


def _add_the_rest(app: web.Application, settings: Settings, world: World, guard: Guard) -> None:
    """Add what people look at and operators use, where the settings want it."""
    if settings.serves("api"):
        Documents(settings).add_to(app.router)
        if settings.http_metrics_port is None:
            app[LOOKS].add_to(app.router, "readyz", "metrics")
        if settings.serves_operators:
            DeadLetterEndpoints(settings, world.desk, guard).add_to(app.router)
    if settings.serves("console"):
        # Loaded only here: it brings a template engine along.
        from ostatok_http.console.app import add_console  # noqa: PLC0415

        add_console(app, settings, world)


def _add_endpoints(router: web.UrlDispatcher, *endpoints: _Endpoint) -> None:
    """Answer at each address with a slash at its end and without.

    A sender that leaves it out means the same, and a redirect would lose its body.
    """
    for method, name, path, handler in endpoints:
        for end, bare in (("/", ""), ("", ".bare")):
            add = router.add_get if method == hdrs.METH_GET else router.add_post
            add(path + end, handler, name=f"{name}{bare}")


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
    require_doors(settings)
    logs.configure(settings)
    raise_open_files()
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    on_signals(stopping)
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
    looks = web.AppRunner(app[LOOKS].app(), access_log=None)
    await runner.setup()
    garbage.look_seldom()
    try:
        await listen(runner, settings, settings.http_host, settings.http_port, tls_of(settings))
        if settings.http_metrics_port is not None:
            await looks.setup()
            await listen(looks, settings, settings.http_metrics_host, settings.http_metrics_port)
        host, port = runner.addresses[0][:2]
        log.info("http_listening", host=host, port=port, worker=settings.http_worker)
        await stopping.wait()
        log.info("http_stopping", worker=settings.http_worker)
    finally:
        await runner.cleanup()
        await looks.cleanup()
    log.info("http_stopped", worker=settings.http_worker)


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
