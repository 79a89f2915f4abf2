"""A collector of traces: takes them by OTLP/HTTP and keeps their spans."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ostatok.collector import TRACES_PATH
from support.system import wait_until

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""A context that a sender gives, and wants recorded."""
UNSAMPLED = "00-a3ce929d0e0e47364bf92f3577b34da6-00f067aa0ba902b8-00"
"""One that it does not want recorded."""

KINDS = ("", "internal", "server", "client", "producer", "consumer")


class Seen(NamedTuple):
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    start_ns: int
    end_ns: int

    @property
    def context(self) -> tuple[str, str]:
        """As a link names it."""
        return self.trace, self.id


def context_of(traceparent: str) -> tuple[str, str]:
    """The ids of a trace and of a span in it."""
    _, trace, span, _ = traceparent.split("-")
    return trace, span


class Collector:
    """Listens on a port of this machine."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.status = 200
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    @property
    def spans(self) -> list[Seen]:
        """All that came."""
        return [span for body in list(self.bodies) for span in _read(body)]

    def of(self, traceparent: str) -> list[Seen]:
        """The spans of one trace."""
        trace, _ = context_of(traceparent)
        return [one for one in self.spans if one.trace == trace]

    def wait(self, name: str, trace: str = "", many: int = 1) -> list[Seen]:
        """Wait for spans whose names begin so, of one trace if it is given."""

        def found() -> list[Seen]:
            return [
                one
                for one in self.spans
                if one.name.startswith(name) and one.trace == (trace or one.trace)
            ]

        wait_until(lambda: len(found()) >= many, f"{many} spans {name}", 20)
        return found()


@contextmanager
def running_collector(port: int = 0) -> Iterator[Collector]:
    """Run one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.path == TRACES_PATH
            if right and collector.status == 200:
                collector.bodies.append(body)
                collector.headers.append({k.lower(): v for k, v in self.headers.items()})
            self.send_response(collector.status if right else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET
        daemon_threads = True

    server = Server(("127.0.0.1", port), Handler)
    collector = Collector(server)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _read(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        of_resource = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=of_resource["service.name"],
                    name=span.name,
                    kind=KINDS[span.kind],
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes=_attributes(span.attributes),
                    links=tuple((one.trace_id.hex(), one.span_id.hex()) for one in span.links),
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                )


def _attributes(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = (
            [item.int_value for item in value.values] if kind == "array_value" else value
        )
    return found
