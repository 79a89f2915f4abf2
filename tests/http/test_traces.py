"""Which requests are traced, and what their spans say."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession
from support.collector import SENT, UNSAMPLED, Collector, context_of, running_collector
from support.webhooks import GOOD, INN, JSON, WEBHOOK, RecordingJournal, Serve

from ostatok import telemetry
from ostatok.errors import JournalUnavailable
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import load
from ostatok.tracing import Tracing, is_sampled, read_traceparent

MARKER = "00-ffffffffffffffffffffffffffffffff-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where the spans go, at once."""
    monkeypatch.setattr(telemetry, "SEND_SECONDS", 0.02)
    with running_collector() as running:
        yield running


@pytest.fixture
def serve_traced(serve: Serve, collector: Collector) -> Serve:
    """Start services that trace."""
    return partial(serve, traces_endpoint=collector.url)


async def post(client: ClientSession, **headers: str) -> int:
    """Post a webhook."""
    async with client.post(WEBHOOK, data=GOOD, headers=JSON | headers) as answer:
        return answer.status


@pytest.mark.parametrize("ratio", [0, 1])
async def test_who_gives_no_context_is_traced_by_the_ratio(
    serve_traced: Serve, journal: RecordingJournal, collector: Collector, ratio: int
) -> None:
    """A trace of our own then, or none and no header; a context that is none counts as none."""
    client = await serve_traced(journal=journal, traces_ratio=ratio)
    assert await post(client) == await post(client, traceparent="nonsense") == 200
    assert await post(client, traceparent=MARKER) == 200
    marker, _ = context_of(MARKER)
    collector.wait("POST", marker)
    ours = [one for one in collector.spans if one.trace != marker]
    headers = [one[2].get("traceparent") for one in journal.records[:2]]
    if not ratio:
        assert (ours, headers) == ([], [None, None])
        return
    assert sorted(one.name for one in ours) == sorted([f"POST {WEBHOOK}", "send payments"] * 2)
    sends = {one.context for one in ours if one.kind == "producer"}
    assert {context_of(one.decode()) for one in headers if one} == sends


async def test_a_context_that_says_no_is_passed_on(
    serve_traced: Serve, journal: RecordingJournal, collector: Collector
) -> None:
    """Whatever the ratio, the sender decides about its own trace."""
    client = await serve_traced(journal=journal, traces_ratio=1)
    await post(client, traceparent=UNSAMPLED)
    await post(client, traceparent=MARKER)
    collector.wait("POST", context_of(MARKER)[0])
    assert journal.records[0][2]["traceparent"] == UNSAMPLED.encode()
    assert collector.of(UNSAMPLED) == []


def test_no_more_in_a_second_than_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it: past the limit nothing is traced until the next second."""
    now = 100.0
    monkeypatch.setattr("ostatok.tracing.monotonic", lambda: now)
    tracing = Tracing(load(traces_per_second_max=3, traces_ratio=1), "test")
    tracing._spans = object()  # type: ignore[assignment]
    assert [tracing.wants(one) for one in (SENT, None, UNSAMPLED, SENT)] == [
        True,
        True,
        False,
        True,
    ]
    assert [tracing.wants(one) for one in (SENT, None)] == [False, False]
    now = 101.0
    assert tracing.wants(SENT)


async def test_past_the_limit_the_record_asks_for_no_trace_either(
    serve_traced: Serve,
    journal: RecordingJournal,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream goes by the record's flag; the trace is the sender's, its other flags stay."""
    monkeypatch.setattr("ostatok.tracing.monotonic", lambda: 100.0)
    client = await serve_traced(journal=journal, traces_per_second_max=1)
    await post(client, traceparent=MARKER)
    await post(client, traceparent=SENT[:-2] + "03")
    collector.wait("POST")
    traced, late = (one[2]["traceparent"].decode() for one in journal.records)
    assert is_sampled(traced.encode())
    trace, sender = context_of(SENT)
    assert read_traceparent(late) == late
    assert late.endswith("-02")
    assert context_of(late)[0] == trace
    assert context_of(late)[1] != sender, "W3C: a new parent where the flag changes"
    assert collector.of(SENT) == []


async def test_a_service_that_does_not_trace_changes_no_context(
    serve: Serve, journal: RecordingJournal
) -> None:
    """Whether others record the trace is not its business."""
    client = await serve(journal=journal)
    await post(client, traceparent=SENT)
    assert journal.records[0][2]["traceparent"] == SENT.encode()


async def test_what_can_not_be_published_has_failed(
    serve_traced: Serve, collector: Collector
) -> None:
    """A 503 is the service's fault, and both spans name its kind."""
    client = await serve_traced(journal=RecordingJournal(JournalUnavailable("Kafka: s3cret")))
    assert await post(client, traceparent=SENT) == 503
    (send,) = collector.wait("send")
    (served,) = collector.wait("POST")
    assert send.failed
    assert send.attributes["error.type"] == "unavailable"
    assert served.failed
    assert served.attributes["error.type"] == served.attributes["ostatok.answer"] == "unavailable"
    assert served.attributes["http.response.status_code"] == 503
    assert b"s3cret" not in b"".join(collector.bodies)


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", WEBHOOK, 400, {"http.route": WEBHOOK, "ostatok.answer": "invalid"}),
        (
            "GET",
            f"/api/organizations/{INN}/balance/",
            404,
            {"http.route": "/api/organizations/{inn}/balance/", "ostatok.answer": "not_found"},
        ),
        (
            "GET",
            "/api/organizations/500100732259/balance",
            404,
            {
                "http.route": "/api/organizations/{inn}/balance/",
                "url.path": "/api/organizations/5001******59/balance",
            },
        ),
        ("GET", "/api/operations/none/", 404, {"http.route": "/api/operations/{operation_id}/"}),
    ],
)
async def test_a_refusal_is_an_answer(
    serve_traced: Serve,
    collector: Collector,
    method: str,
    path: str,
    status: int,
    said: dict[str, Any],
) -> None:
    """On the fast path and through the router alike: named by the template, and no failure."""
    client = await serve_traced()
    headers = JSON | {"traceparent": SENT, "X-Request-ID": "mine"}
    async with client.request(method, path, data=b"{", headers=headers) as answer:
        assert answer.status == status
    (span,) = collector.wait(method)
    assert span.name == f"{method} {said['http.route']}"
    assert not span.failed
    assert span.attributes["ostatok.request_id"] == "mine"
    assert said.items() <= span.attributes.items()


async def test_probes_are_not_traced(serve_traced: Serve, collector: Collector) -> None:
    """Nor the console, nor what is not here, whatever they ask for."""
    client = await serve_traced(traces_ratio=1, http_serve=ALL_PARTS)
    console = ("/console", "/console/nowhere", "/console/static/console.js")
    for path in ("/healthz", "/readyz", "/metrics", "/nowhere", *console):
        sent = {"traceparent": SENT}
        async with client.get(path, headers=sent, allow_redirects=False):
            pass
    await post(client, traceparent=MARKER)
    collector.wait("POST")
    assert {one.trace for one in collector.spans} == {context_of(MARKER)[0]}


async def test_the_collector_is_told_who_sends(serve_traced: Serve, collector: Collector) -> None:
    """The headers of the setting go with each request."""
    client = await serve_traced(traces_headers="Authorization=Bearer a=b, x-tenant = 7")
    await post(client, traceparent=SENT)
    collector.wait("POST")
    assert collector.headers[0]["authorization"] == "Bearer a=b"
    assert collector.headers[0]["x-tenant"] == "7"
