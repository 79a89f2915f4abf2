"""One process of the HTTP service: how it lives and ends."""

import asyncio

import structlog
import uvloop
from aiohttp import web
from prometheus_client import disable_created_metrics

from ostatok import garbage, logs
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.history import History
from ostatok_db.pool import Pool, WritePool
from ostatok_db.reading import Reader
from ostatok_http.app import create_app, make_runner
from ostatok_http.connections import raise_open_files
from ostatok_http.console.world import Reads
from ostatok_http.doors.required import require_doors
from ostatok_http.listening import listen, on_signals, tls_of
from ostatok_http.looks import LOOKS
from ostatok_http.parts import Ports
from ostatok_http.publisher import Publisher
from ostatok_http.unapplied import TAIL_SECONDS_MAX

log = structlog.get_logger()


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
        await listen(runner, settings, (settings.http_host, settings.http_port), tls_of(settings))
        if settings.http_metrics_port is not None:
            await looks.setup()
            await listen(
                looks,
                settings,
                (settings.http_metrics_host, settings.http_metrics_port),
                names="HTTP_METRICS",
            )
        host, port = runner.addresses[0][:2]
        log.info("http_listening", host=host, port=port, worker=settings.http_worker)
        await stopping.wait()
        log.info("http_stopping", worker=settings.http_worker)
    finally:
        await runner.cleanup()
        await looks.cleanup()
    log.info("http_stopped", worker=settings.http_worker)
