"""The spans of this service, by OpenTelemetry's conventions for HTTP and for messaging.

Of a request that is traced: a span of the request, and of a webhook one of its way into the
journal, whose context the record carries. Never a body, a query or an address of the client, and
the INN of a person only masked.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from ostatok.payment import Payment, masked
from ostatok.settings import Settings
from ostatok.tracing import (
    TRACEPARENT,
    Tracing,
    is_sampled,
    read_traceparent,
    tracing_of,
    unsampled,
)
from ostatok_http.answers import ANSWER, OPERATION_ID, REQUEST_ID, Answering, Request
from ostatok_http.doors.trail import Trail
from ostatok_http.metrics import Metrics
from ostatok_http.ports import Position

if TYPE_CHECKING:
    from ostatok.telemetry import Span

PATH_CHARACTERS_MAX = 256
UNTRACED = frozenset({"healthz", "readyz", "metrics"})
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Sending:
    """The span of a record's way into the journal."""

    __slots__ = ("_span", "is_over", "traceparent")

    def __init__(self, span: "Span") -> None:
        self._span = span
        self.traceparent = span.traceparent
        self.is_over = False

    def sent(self, position: Position) -> None:
        """End: the record lies there."""
        self._span.set(
            {
                "messaging.destination.partition.id": str(position.partition),
                "messaging.kafka.offset": position.offset,
            }
        )
        self._span.end()
        self.is_over = True

    def failed(self, why: str) -> None:
        """End: nobody knows that it lies anywhere."""
        self._span.fail(why)
        self._span.end()


class Traced:
    """The span of a request: it ends where the ``with`` does, and its record's with it."""

    __slots__ = ("sending", "span")

    def __init__(self, span: "Span") -> None:
        self.span = span
        self.sending: Sending | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        """End, as failed when the request was given up."""
        if kind is not None:
            self._fail(kind.__name__)
        self.span.end()

    def answered(self, status: int, request: web.BaseRequest) -> None:
        """Say what was answered; from 500 on it counts as failed."""
        answer, operation_id = request.get(ANSWER), request.get(OPERATION_ID)
        self.span.set(
            {
                "http.response.status_code": status,
                "ostatok.request_id": request[REQUEST_ID],
                **({"ostatok.answer": answer} if answer else {}),
                **({"ostatok.operation_id": operation_id} if operation_id else {}),
            }
        )
        if status >= 500:
            self._fail(answer or str(status))

    def _fail(self, why: str) -> None:
        self.span.fail(why)
        if self.sending is not None and not self.sending.is_over:
            self.sending.failed(why)


TRACED = web.RequestKey("traced", object)
"""A Traced, or None: of each request it is looked for, and a look that finds nothing costs more."""


class Traces:
    """Begins the spans of this process, and sends them."""

    def __init__(self, settings: Settings, tracing: Tracing) -> None:
        self._settings = settings
        self._tracing = tracing
        self._templates: Mapping[str, str] = {}

    @classmethod
    def make(cls, settings: Settings) -> Self | None:
        """Give them; None when nobody wants traces."""
        tracing = tracing_of(settings, "ostatok-http")
        return None if tracing is None else cls(settings, tracing)

    def start(self, router: web.UrlDispatcher) -> None:
        """Be ready for the routes that have a name.

        Raises :class:`ostatok.errors.OstatokError` when the extra is not there.
        """
        resources = router.named_resources()
        self._templates = {name: resource.canonical for name, resource in resources.items()}
        self._tracing.start()

    async def close(self, seconds: float) -> None:
        """Send what is in hand for at most ``seconds``."""
        await asyncio.to_thread(self._tracing.close, seconds)

    def answering(self, metrics: Metrics, trail: Trail) -> Answering:
        """What answers all requests, and traces some."""
        return _TracedAnswering(self._settings, metrics, trail, self)

    def of(self, request: web.BaseRequest, route: str) -> Traced | None:
        """Begin the span of a request; None when it is not traced.

        Never of a probe, of a scrape of the metrics, or of what has no name, as the console.
        """
        request[TRACED] = None
        if not route or route in UNTRACED:
            return None
        given = read_traceparent(request.headers.get(TRACEPARENT))
        if not self._tracing.wants(given):
            return None
        # Of a webhook the address says which source's it is, with a slash at its end or without.
        is_webhook = route == "webhook"
        template = f"{request.path.rstrip('/')}/" if is_webhook else self._templates[route]
        method = request.method if request.method in METHODS else "_OTHER"
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": template,
            "url.scheme": request.scheme,
            "url.path": _shown(request.path),
            "network.protocol.version": f"{request.version.major}.{request.version.minor}",
            "server.port": self._settings.http_port,
        }
        span = self._tracing.begin(f"{method} {template}", "server", attributes, parent=given)
        traced = request[TRACED] = Traced(span)
        return traced

    def untraced(self, given: str) -> str:
        """Give the context for the record of a request that came with this one and has no span.

        Past the limit a second it says no more that the trace is recorded: the stream goes by it,
        and would trace what was one too many here.
        """
        if self._tracing.is_on and is_sampled(given.encode()):
            return unsampled(given)
        return given

    def sending(self, payment: Payment, request: web.BaseRequest) -> Sending | None:
        """Begin the span of publishing a payment; None when its request is not traced."""
        traced = request[TRACED]
        if not isinstance(traced, Traced):
            return None
        topic = self._settings.topic
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "ostatok.operation_id": payment.operation_id,
            "ostatok.inn": masked(payment.inn),
        }
        span = self._tracing.begin(f"send {topic}", "producer", attributes, parent=traced.span)
        traced.sending = Sending(span)
        return traced.sending


class _TracedAnswering(Answering):
    """In place of the other, so that this costs nothing when nobody wants traces."""

    def __init__(self, settings: Settings, metrics: Metrics, trail: Trail, traces: Traces) -> None:
        super().__init__(settings, metrics, trail)
        self._traces = traces

    async def answer(
        self,
        request: Request,
        route: str,
        handler: Callable[[Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        traced = self._traces.of(request, route)
        if traced is None:
            return await super().answer(request, route, handler)
        with traced:
            response = await super().answer(request, route, handler)
            traced.answered(response.status, request)
            return response


_person = re.compile(r"(?<=/)[0-9]{12}(?=/|$)")


def _shown(path: str) -> str:
    return _person.sub(lambda found: masked(found[0]), path)[:PATH_CHARACTERS_MAX]
