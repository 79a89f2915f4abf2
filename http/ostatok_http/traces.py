"""The spans of this service, by OpenTelemetry's conventions for HTTP and for messaging.

Of a request that is traced: a span of the request, and of a webhook one of its way into the
journal, whose context the record carries. Never a body, a query or an address of the client, and
the INN of a person only masked.
"""

import asyncio
import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from ostatok.payment import Payment, masked
from ostatok.settings import Settings
from ostatok.tracing import TRACEPARENT, Tracing, read_traceparent, tracing_of
from ostatok_http.ports import Position

if TYPE_CHECKING:
    from ostatok.telemetry import Span

PATH_CHARACTERS_MAX = 256
UNTRACED = frozenset({"healthz", "readyz", "metrics"})
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def traceparent_of(request: web.BaseRequest) -> str | None:
    """The W3C trace context of the request, passed on only when it is one."""
    return read_traceparent(request.headers.get(TRACEPARENT))


class Traced:
    """The span of a request: it ends where the ``with`` does."""

    __slots__ = ("span",)

    def __init__(self, span: "Span") -> None:
        self.span = span

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        """End, as failed when an exception does it."""
        if kind is not None:
            self.span.fail(kind.__name__)
        self.span.end()

    def answered(self, status: int, answer: str, request_id: str, operation_id: str | None) -> None:
        """Say what was answered; from 500 on it counts as failed."""
        self.span.set(
            {
                "http.response.status_code": status,
                "ostatok.request_id": request_id,
                **({"ostatok.answer": answer} if answer else {}),
                **({"ostatok.operation_id": operation_id} if operation_id else {}),
            }
        )
        if status >= 500:
            self.span.fail(answer or str(status))


class Sending(Traced):
    """The span of a record's way into the journal."""

    __slots__ = ()

    def sent(self, position: Position) -> None:
        """Say where the record lies."""
        self.span.set(
            {
                "messaging.destination.partition.id": str(position.partition),
                "messaging.kafka.offset": position.offset,
            }
        )


TRACED = web.RequestKey("traced", Traced)


class Traces:
    """Begins the spans of this process, and sends them."""

    def __init__(self, settings: Settings, tracing: Tracing) -> None:
        self._tracing = tracing
        self._templates: Mapping[str, str] = {}
        self._topic = settings.topic
        self._port = settings.http_port

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

    def of(self, request: web.BaseRequest, route: str) -> Traced | None:
        """Begin the span of a request; None when it is not traced.

        Never of a probe, of a scrape of the metrics, or of an address without a name.
        """
        if not route or route in UNTRACED:
            return None
        given = traceparent_of(request)
        if not self._tracing.wants(given):
            return None
        template = self._templates.get(route, route)
        method = request.method if request.method in METHODS else "_OTHER"
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": template,
            "url.scheme": request.scheme,
            "url.path": _shown(request.path),
            "network.protocol.version": f"{request.version.major}.{request.version.minor}",
            "server.port": self._port,
        }
        span = self._tracing.begin(f"{method} {template}", "server", attributes, parent=given)
        traced = request[TRACED] = Traced(span)
        return traced

    def sending(self, payment: Payment, request: web.BaseRequest) -> Sending | None:
        """Begin the span of publishing a payment; None when its request is not traced."""
        traced = request.get(TRACED)
        if traced is None:
            return None
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": self._topic,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "ostatok.operation_id": payment.operation_id,
            "ostatok.inn": masked(payment.inn),
        }
        return Sending(
            self._tracing.begin(f"send {self._topic}", "producer", attributes, parent=traced.span)
        )


_person = re.compile(r"(?<=/)[0-9]{12}(?=/|$)")


def _shown(path: str) -> str:
    return _person.sub(lambda found: masked(found[0]), path)[:PATH_CHARACTERS_MAX]
