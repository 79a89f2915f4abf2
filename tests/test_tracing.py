"""Traces through the real processes: from the request through the journal to the ledger."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.collector import (
    SENT,
    UNSAMPLED,
    Collector,
    context_of,
    running_collector,
)
from support.payments import body
from support.services import Services
from support.system import Answer, System, wait_until

from ostatok.cli import main
from ostatok.journal import read_position
from ostatok.local.ports import free_port
from ostatok.record_reader import RecordReader

PERSON = "500100732259"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the spans of the system go."""
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    services: Services, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system that traces only what the sender wants traced."""
    settings = services.new_settings(topic="traced", traces_endpoint=collector.url, traces_ratio=0)
    with System(settings, tmp_path_factory.mktemp("traced")) as running:
        running.start_stream()
        running.start_http()
        yield running


def traceparent_in(system: System, posted: Answer) -> str | None:
    """What the record of a webhook carries."""
    partition, offset = read_position(posted.headers["Ostatok-Position"])
    (record,) = RecordReader(system.settings, "test").read_all({partition: (offset, offset + 1)})
    value = dict(record.headers or ())["traceparent"] if record.headers else None
    return value.decode() if value else None


def is_logged(system: System, log: str, event: str) -> bool:
    """Whether an event of that name is in a log."""
    return bool(system.events(log, event))


def test_a_trace_goes_from_the_request_to_the_ledger(traced: System, collector: Collector) -> None:
    """Request, publishing and applying are one trace; the fetch and its transaction link to it."""
    trace, sender = context_of(SENT)
    paid = body(payer_inn=PERSON, document_number="SECRET-7")
    operation_id = json.loads(paid)["operation_id"]
    posted = traced.post(paid, traceparent=SENT, X_Request_ID="traced", Prefer="wait=10")
    assert posted.status == 200
    partition, offset = read_position(posted.headers["Ostatok-Position"])
    (applied,) = collector.wait("apply traced", trace)
    (process,) = collector.wait("process traced")
    (transaction,) = collector.wait("apply transaction")
    (send,) = collector.wait("send traced", trace)
    (served,) = collector.wait("POST /api/webhook/bank/", trace)

    assert (served.service, served.kind, served.parent) == ("ostatok-http", "server", sender)
    assert (send.service, send.kind, send.parent) == ("ostatok-http", "producer", served.id)
    assert (applied.service, applied.kind, applied.parent) == (
        "ostatok-stream",
        "consumer",
        send.id,
    )
    assert context_of(traceparent_in(traced, posted) or "") == send.context
    assert served.attributes["http.response.status_code"] == 200
    assert served.attributes["http.route"] == "/api/webhook/bank/"
    assert served.attributes["ostatok.answer"] == "accepted"
    assert served.attributes["ostatok.request_id"] == "traced"
    for one in (send, applied):
        assert one.attributes["messaging.destination.partition.id"] == str(partition)
        assert one.attributes["messaging.kafka.offset"] == offset
        assert one.attributes["ostatok.inn"] == "5001******59"
    for one in (served, send, applied):
        assert one.attributes["ostatok.operation_id"] == operation_id
    assert applied.attributes["ostatok.outcome"] == "applied"

    assert process.links == (send.context,)
    assert (process.parent, process.attributes["messaging.batch.message_count"]) == ("", 1)
    assert (transaction.trace, transaction.parent) == (process.trace, process.id)
    assert transaction.attributes["ostatok.applied"] == 1
    assert applied.links == (transaction.context,)
    assert served.start_ns < send.start_ns < send.end_ns < served.end_ns
    assert send.end_ns - int(1e9) < applied.start_ns < applied.end_ns
    for sent in collector.bodies:
        assert PERSON.encode() not in sent
        assert b"SECRET-7" not in sent


def test_what_the_sender_does_not_want_recorded_is_not(
    traced: System, collector: Collector
) -> None:
    """Its context goes on as it is, and its flag with it; where there is none, none is made."""
    unsampled = traced.post(body(), traceparent=UNSAMPLED)
    plain = traced.post(body())
    assert traceparent_in(traced, unsampled) == UNSAMPLED
    with pytest.raises(KeyError):
        traceparent_in(traced, plain)
    marker = SENT.replace("4bf9", "aaaa")
    traced.post(body(), traceparent=marker, Prefer="wait=10")
    collector.wait("apply traced", context_of(marker)[0])
    assert collector.of(UNSAMPLED) == []
    known = {context_of(one)[0] for one in (SENT, marker)}
    unknown = {one.name for one in collector.spans if one.trace not in known}
    assert unknown == {"process traced", "apply transaction"}


def test_a_balance_read_is_traced(traced: System, collector: Collector) -> None:
    """With the route's template as its name, and a person's INN masked."""
    wanted = SENT.replace("4bf9", "bbbb")
    traced.balance(PERSON, traceparent=wanted)
    (read,) = collector.wait("GET", context_of(wanted)[0])
    assert read.name == "GET /api/organizations/{inn}/balance/"
    assert read.attributes["url.path"] == "/api/organizations/5001******59/balance/"
    assert read.parent == context_of(wanted)[1]
    assert not read.failed


def test_a_collector_that_is_away_holds_nothing_up(services: Services, tmp_path: Path) -> None:
    """Webhooks are answered and applied, with a line in the log; once it is there it gets spans.

    What is in hand at a stop is sent before the end.
    """
    port = free_port()
    settings = services.new_settings(
        topic="away",
        traces_endpoint=f"http://127.0.0.1:{port}",
        traces_ratio=1,
        traces_queue_spans_max=16,
        traces_timeout_seconds=2,
    )
    with System(settings, tmp_path) as system:
        worker = system.start_stream()
        service = system.start_http()
        for _ in range(100):
            assert system.post(body()).status == 200
        assert system.post(body(), Prefer="wait=10").headers["Ostatok-Outcome"] == "applied"
        for name in ("http.log", "stream.log"):
            wait_until(partial(is_logged, system, name, "traces_in_trouble"), name)
        with running_collector(port) as collector:

            def is_well() -> bool:
                system.post(body())
                return {one.service for one in collector.spans} == {
                    "ostatok-http",
                    "ostatok-stream",
                }

            wait_until(is_well, "spans of both")
            system.post(body(), traceparent=SENT, Prefer="wait=10")
            for process in (service, worker):
                process.send_signal(signal.SIGTERM)
            assert [process.wait(15) for process in (service, worker)] == [0, 0]
            names = {one.name for one in collector.of(SENT)}
            assert names == {"POST /api/webhook/bank/", "send away", "apply away"}
        for name in ("http.log", "stream.log"):
            (trouble,) = system.events(name, "traces_in_trouble")
            assert "refused" in trouble["reason"]
            (well,) = system.events(name, "traces_well")
            assert well["spans_lost"] > 0


LOADED = """
import atexit, sys
from ostatok.cli import main
atexit.register(lambda: print(sum(name.startswith("opentelemetry") for name in sys.modules)))
main(["http"])
"""


@pytest.mark.parametrize("on", [False, True])
def test_off_loads_nothing(tmp_path: Path, services: Services, on: bool) -> None:
    """A process that has served traced requests never imported OpenTelemetry, unless it is on."""
    given = {"traces_endpoint": "http://127.0.0.1:1"} if on else {}
    settings = services.new_settings(http_drain_seconds=1, **given)
    with System(settings, tmp_path) as system:
        process = system.start_program(sys.executable, "-c", LOADED, log="loaded.log")
        system.wait_ready(settings.http_port, process)
        posted = system.post(body(), traceparent=SENT)
        assert (traceparent_in(system, posted) == SENT) is not on
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    *_, last = (tmp_path / "loaded.log").read_text(encoding="utf-8").split()
    assert (int(last) > 0) is on


def test_a_worker_that_is_off_loads_nothing() -> None:
    """Also the worker, when it is put together and ready to start."""
    program = "from ostatok_stream.app import app; app.worker_init(); import sys; "
    program += 'print(sum(name.startswith("opentelemetry") for name in sys.modules))'
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"0\n"


MISSING = """
import sys
sys.modules["opentelemetry"] = None
from ostatok.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", [["http"], ["stream"]])
def test_without_the_extra_it_says_so(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence and a hint, and no traceback."""
    monkeypatch.setenv("OSTATOK_TRACES_ENDPOINT", "http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-c", MISSING, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "OSTATOK_TRACES_ENDPOINT is set, and OpenTelemetry is not installed." in done.stderr
    assert "ostatok[telemetry]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["http", "--workers", "2"], ["up"]])
def test_who_starts_others_says_it_for_them(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any of them is started."""
    monkeypatch.setenv("OSTATOK_TRACES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 1
    assert "ostatok[telemetry]" in shown.output
