"""The process: it starts and stays without Kafka and Postgres, says what is missing, and ends."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.lone import Start, ask, port, start, wait_alive
from support.webhooks import GOOD, INN, WEBHOOK

from ostatok.local.ports import free_port

__all__ = ["port", "start"]


def test_it_lives_without_kafka_and_postgres(start: Start, port: int) -> None:
    """It starts, answers 503 to what it can't do, says what is missing, and stops in order."""
    process = start()
    wait_alive(port, process)
    status, body = ask(port, "/readyz")
    assert (status, json.loads(body)["missing"]) == (503, ["broker", "database"])
    assert ask(port, WEBHOOK, GOOD) == (503, b'{"error": "Service unavailable"}')
    assert ask(port, WEBHOOK, b"{") == (400, b'{"error": "Invalid data"}')
    assert ask(port, f"/api/organizations/{INN}/balance/")[0] == 503
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=20)
    assert process.returncode == 0, logged
    events = [json.loads(line) for line in logged.decode().splitlines()]
    assert [event for event in events if event["level"] == "error"] == []
    assert events[-1]["event"] == "http_stopped"
    assert INN not in logged.decode()


def test_a_broker_that_says_nothing_does_not_delay_the_end(start: Start, port: int) -> None:
    """The look at the topic is given up, and not waited for until its time-out of 10 s."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address, silent_port = silent.getsockname()
        process = start(kafka_bootstrap_servers=f"{address}:{silent_port}")
        wait_alive(port, process)
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=5)
    assert process.returncode == 0, logged
    assert b"destroyed" not in logged
    assert b"Traceback" not in logged


def test_a_port_in_use_is_one_sentence(start: Start, port: int) -> None:
    """Who can't listen says on which port, what to do, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        process = start()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use." in said.decode()
    assert "OSTATOK_HTTP_PORT" in said.decode()
    assert b"Traceback" not in said


def test_workers_count_together(start: Start, port: int, tmp_path: Path) -> None:
    """Any worker's page counts for all, and one that died and came back goes on with its count."""
    shared = {"http_workers": 2, "http_workers_folder": tmp_path}
    other_port = free_port()
    first = start(http_worker=0, **shared)
    second = start(http_worker=1, http_port=other_port, **shared)
    wait_alive(port, first)
    wait_alive(other_port, second)
    assert ask(port, WEBHOOK, b"{")[0] == 400
    assert ask(other_port, WEBHOOK, b"{")[0] == 400
    assert b'ostatok_http_webhooks_total{answer="invalid"} 2.0' in ask(port, "/metrics")[1]
    first.kill()
    first.communicate(timeout=20)
    wait_alive(port, start(http_worker=0, **shared))
    assert ask(port, WEBHOOK, b"{")[0] == 400
    assert b'ostatok_http_webhooks_total{answer="invalid"} 3.0' in ask(other_port, "/metrics")[1]


def test_the_second_signal_does_not_wait(start: Start, port: int) -> None:
    """The first signal lets a request in hand come to its end, the same one again does not."""
    process = start(publish_timeout_seconds=60, http_drain_seconds=60)
    wait_alive(port, process)
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.sendall(
            b"POST %b HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (WEBHOOK.encode(), len(GOOD), GOOD)
        )
        until = time.monotonic() + 20
        while b"ostatok_http_publishing_webhooks 1.0" not in ask(port, "/metrics")[1]:
            assert time.monotonic() < until
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


def test_it_does_not_start_open_to_others(start: Start) -> None:
    """Not on all addresses without doors, unless somebody says so; the sentence says how."""
    refused = start(http_host="0.0.0.0")
    _, said = refused.communicate(timeout=20)
    assert refused.returncode == 1
    assert b"OSTATOK_SOURCES" in said
    assert b"OSTATOK_HTTP_OPEN_TO_ALL=true" in said


def test_metrics_have_a_port_of_their_own(start: Start, port: int) -> None:
    """Then the port that others reach shows neither them nor what is missing."""
    own = free_port()
    process = start(http_metrics_port=own, http_serve="webhook")
    wait_alive(port, process)
    wait_alive(own, process)
    assert ask(own, "/metrics")[0] == 200
    assert ask(own, "/readyz")[0] == 503
    assert ask(own, WEBHOOK, b"{")[0] == 404
    for path in ("/metrics", "/readyz"):
        assert ask(port, path)[0] == 404
