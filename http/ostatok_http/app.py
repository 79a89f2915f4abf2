"""The HTTP service as an application: what answers where."""

from collections.abc import Iterator, Mapping
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ostatok.payment import BODY_BYTES_MAX
from ostatok.settings import Settings
from ostatok_http.connections import Connections
from ostatok_http.dead_letters import DeadLetterEndpoints
from ostatok_http.documents.serving import Documents
from ostatok_http.doors.senders import route_of, senders_of
from ostatok_http.fast_path import BALANCE, CONNECTIONS, FAST_PATH, WEBHOOK, FastPath, Runner
from ostatok_http.fast_path import Handler as Receive
from ostatok_http.looks import LOOKS, Looks
from ostatok_http.parts import Parts, Ports
from ostatok_http.receiver import Receiver

KEEPALIVE_SECONDS = 75.0
HEADER_BYTES_MAX = 8_190
HEADERS_MAX = 64
LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and dropped, so that the sender sees the refusal."""

ORGANIZATION = "/api/organizations/{inn:[^/]*}"
OPERATION = "/api/operations/{operation_id:[^/]*}"

_Endpoint = tuple[str, str, str, Handler]
"""Method, name of the route, address without its last slash, and what answers."""


def create_app(settings: Settings, ports: Ports) -> web.Application:
    """Put the service together. It opens journal and ledger itself, and closes them at its end."""
    parts = Parts(settings, ports)
    app = web.Application(middlewares=[parts.answering.middleware], client_max_size=BODY_BYTES_MAX)
    receivers = _receivers(settings, parts.receiver)
    serves_api = settings.serves("api")
    balance_of = parts.guard.around_balance(parts.balance.of) if serves_api else None
    app[FAST_PATH] = FastPath(parts.answering, receivers, balance_of)
    app[CONNECTIONS] = Connections(settings, parts.metrics.connections)
    app[LOOKS] = Looks(parts.health.alive, parts.health.ready, parts.metrics.page)
    app[LOOKS].add_to(app.router, "healthz")
    _add_endpoints(app.router, *_webhooks(receivers))
    if serves_api:
        _add_api(app, settings, parts)
    if settings.serves("console"):
        # Loaded only here: it brings a template engine along.
        from ostatok_http.console.app import add_console  # noqa: PLC0415

        add_console(app, settings, parts.world)
    app.cleanup_ctx.append(parts.live)
    # Before the console lets go of those who watch, which may take a moment of the drain.
    app.on_shutdown.insert(0, parts.begin_drain)
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


def _add_api(app: web.Application, settings: Settings, parts: Parts) -> None:
    for name, path, handler in (
        ("balance", BALANCE.format("{inn:[^/]*}"), parts.history.balance),
        ("log", ORGANIZATION + "/log", parts.history.log),
        ("statement", ORGANIZATION + "/statement", parts.statement.get),
        ("operation", OPERATION, parts.operation.get),
    ):
        _add_endpoints(app.router, ("GET", name, path, parts.guard.around(name, handler)))
    Documents(settings).add_to(app.router)
    if settings.http_metrics_port is None:
        app[LOOKS].add_to(app.router, "readyz", "metrics")
    if settings.serves_operators:
        DeadLetterEndpoints(settings, parts.world.desk, parts.guard).add_to(app.router)


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
