"""Traces: what one request did, in every process that it came through.

Off unless ``traces_endpoint`` is set, and nothing of OpenTelemetry is imported then: that is left
to ``telemetry.py``. A trace goes from process to process as W3C's ``traceparent``
(https://www.w3.org/TR/trace-context/), in a request's header and then in the record's. Here a
context is that text.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from random import getrandbits, random
from time import monotonic
from typing import TYPE_CHECKING, Literal

from ostatok.errors import OstatokError
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings

if TYPE_CHECKING:
    from ostatok.telemetry import Span, Spans

TRACEPARENT = "traceparent"

LINKS_MAX = 128
"""Links to other traces that a span has at the most."""

Attributes = Mapping[str, str | int | Sequence[int]]
Kind = Literal["server", "producer", "consumer", "client"]

_CONTEXT = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]"
_is_traceparent = re.compile(_CONTEXT + "[0-9a-f]").fullmatch
_is_sampled_header = re.compile((_CONTEXT + "[13579bdf]").encode()).fullmatch


def read_traceparent(text: str | None) -> str | None:
    """Give the trace context when it is one; None for anything else."""
    return text if text and _is_traceparent(text) else None


def is_sampled(header: bytes | None) -> bool:
    """Whether a record's header is a trace context whose trace is recorded: bit 0 of its flags."""
    return header is not None and _is_sampled_header(header) is not None


def unsampled(traceparent: str) -> str:
    """Give the context that says that this trace is not recorded from here on.

    Its parent is a new one, as W3C wants it where the flag changes.
    """
    version, trace_id, _, flags = traceparent.split("-")
    parent_id = getrandbits(64) or 1
    return f"{version}-{trace_id}-{parent_id:016x}-{int(flags, 16) & ~1:02x}"


class Tracing:
    """Decides which requests are traced, and makes the spans of those.

    Nothing here waits for the collector. Spans that it does not take in time are dropped.
    """

    def __init__(self, settings: Settings, service: str) -> None:
        """Trace as the process ``service`` is named in traces; :meth:`start` begins."""
        self._settings = settings
        self._service = service
        self._spans: Spans | None = None
        self._second = 0
        self._taken = 0

    def start(self) -> None:
        """Load OpenTelemetry and start the thread that sends. Call it after a fork, never before.

        Raises :class:`OstatokError` when the extra is not installed.
        """
        require(self._settings)
        from ostatok.telemetry import Spans  # noqa: PLC0415  # off costs nothing

        if self._spans is None:  # Faust may say it twice.
            self._spans = Spans.make(self._settings, self._service)

    def wants(self, traceparent: str | None) -> bool:
        """Whether a request that came with this context is traced, by whoever began the trace.

        Where nobody did, by the setting's ratio.
        """
        if self._spans is None:
            return False
        if traceparent is None:
            return random() < self._settings.traces_ratio and self.take(1) == 1  # noqa: S311  # no secret
        return traceparent[-1] in "13579bdf" and self.take(1) == 1

    def take(self, many: int) -> int:
        """Give for how many of so many traces there is room in this second.

        Anyone who reaches the port can ask for each request to be traced.
        """
        second = int(monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        taken = min(many, self._settings.traces_per_second_max - self._taken)
        self._taken += taken
        return taken

    def begin(  # noqa: PLR0913  # what a span is
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: "Span | str | None",
        links: Sequence[str] = (),
        start_ns: int | None = None,
    ) -> "Span":
        """Begin a span, in its parent's trace or in one of its own. Only while tracing is on."""
        assert self._spans is not None  # noqa: S101  # is_on
        return self._spans.begin(
            name, kind, attributes, parent=parent, links=links, start_ns=start_ns
        )

    @property
    def is_on(self) -> bool:
        """Whether spans are made: it was started, and not told to be off by OTEL_SDK_DISABLED."""
        return self._spans is not None

    def close(self, seconds: float) -> None:
        """Send what is in hand for at most ``seconds``, and drop the rest. Blocks."""
        if self._spans is not None:
            self._spans.close(seconds)


def tracing_of(settings: Settings, service: str) -> Tracing | None:
    """Give what traces the process ``service``; None when nobody wants traces."""
    return Tracing(settings, service) if settings.traces_endpoint else None


def require(settings: Settings) -> None:
    """See that the extra is there if traces are wanted. Raises :class:`OstatokError`."""
    if settings.traces_endpoint is None:
        return
    try:
        found = find_spec("opentelemetry.sdk") and find_spec("opentelemetry.exporter.otlp.proto")
    except ModuleNotFoundError:
        found = None
    if not found:
        raise OstatokError(
            f"{PREFIX}TRACES_ENDPOINT is set, and OpenTelemetry is not installed.",
            hint="Install the extra, pip install 'ostatok[telemetry]', or unset the variable.",
        )
