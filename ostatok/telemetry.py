"""The part of OpenTelemetry that is used: how spans are made, and how they get to a collector.

Only :mod:`ostatok.tracing` imports this, and only when a setting asks for traces. Nothing global is
set: whoever else uses OpenTelemetry in this process is not touched. The SDK reads the environment
by itself; what is given here, ratio, queue, time-outs and the service's name among it, it does not
look for there.
"""

import logging
from collections.abc import Sequence
from threading import Thread
from typing import Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from ostatok import __version__
from ostatok.collector import read_headers
from ostatok.settings import Settings
from ostatok.tracing import LINKS_MAX, Attributes, Kind

SEND_SECONDS = 1.0
"""How long a span waits for others to be sent together with."""

SEND_SPANS_MAX = 512
"""Spans in one request to the collector."""

log = structlog.get_logger()


class Span:
    """A span under way."""

    __slots__ = ("of_sdk",)

    def __init__(self, of_sdk: SdkSpan) -> None:
        self.of_sdk = of_sdk

    @property
    def traceparent(self) -> str:
        """The context of what this span causes."""
        own = self.of_sdk.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    def set(self, attributes: Attributes) -> None:
        """Say more about it."""
        self.of_sdk.set_attributes(attributes)

    def fail(self, why: str) -> None:
        """Say that it failed, and of what kind the failure is: never a message or a value."""
        self.of_sdk.set_attribute("error.type", why)
        self.of_sdk.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it, now; it will be sent."""
        self.of_sdk.end()


class Spans:
    """Makes the spans of this process, and has them sent."""

    def __init__(self, provider: TracerProvider, exporter: "_Exporter", tracer: Tracer) -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = tracer

    @classmethod
    def make(cls, settings: Settings, service: str) -> Self | None:
        """Start sending; None when OTEL_SDK_DISABLED is true."""
        exporter = _Exporter(settings)
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # Whether is decided before a span is made.
            resource=Resource.create(
                {
                    "service.name": service,
                    "service.namespace": "ostatok",
                    "service.version": __version__,
                }
            ),
            shutdown_on_exit=False,  # It would wait for half a minute.
            span_limits=SpanLimits(max_links=LINKS_MAX),
        )
        tracer = provider.get_tracer("ostatok", __version__)
        if isinstance(tracer, NoOpTracer):
            return None
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=settings.traces_queue_spans_max,
                schedule_delay_millis=SEND_SECONDS * 1000,
                max_export_batch_size=min(SEND_SPANS_MAX, settings.traces_queue_spans_max),
                export_timeout_millis=settings.traces_timeout_seconds * 1000,
            )
        )
        return cls(provider, exporter, tracer)

    def begin(  # noqa: PLR0913  # what a span is
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: Span | str | None,
        links: Sequence[str],
        start_ns: int | None,
    ) -> Span:
        """Begin a span in its parent's trace, or in one of its own."""
        # An empty context to begin with, not the thread's: others may keep a span there.
        context = Context()
        if isinstance(parent, Span):
            context = set_span_in_context(parent.of_sdk, context)
        elif parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context(parent)), context)
        return Span(
            self._tracer.start_span(
                name,
                context,
                SpanKind[kind.upper()],
                attributes,
                [Link(_context(one)) for one in links],
                start_ns,
            )
        )

    def close(self, seconds: float) -> None:
        """Send what is in hand for at most ``seconds``. Blocks."""
        ending = Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive():
            self._exporter.shutdown()  # Ends its wait for another try.


class _Exporter(SpanExporter):
    """Sends spans; says when that goes wrong and when it is well again, not for each request."""

    def __init__(self, settings: Settings) -> None:
        headers = settings.traces_headers
        self._otlp = trace_exporter.OTLPSpanExporter(
            settings.traces_endpoint,
            headers=read_headers(headers.get_secret_value()) if headers else None,
            timeout=settings.traces_timeout_seconds,
        )
        self._said = _Said()
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Post them, for at most the setting's time-out; on the processor's thread."""
        self._said.first = ""
        result = self._otlp.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces_well", spans_lost=self._lost)
                self._lost = 0
        else:
            if not self._lost:
                log.warning("traces_in_trouble", reason=self._said.first)
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Begin no further try."""
        self._otlp.shutdown()  # type: ignore[no-untyped-call]


class _Said(logging.Handler):
    """Keeps the first thing the exporter says of a request: why it failed it tells only there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""
        logger = logging.getLogger(trace_exporter.__name__)
        logger.handlers[:] = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it is the first."""
        self.first = self.first or record.getMessage()


def _context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
