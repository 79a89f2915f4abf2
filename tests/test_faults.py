"""Nothing lost, nothing twice: the whole system under a bank, while its parts die."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from chaos.invariants import QUERIES
from support.payments import body
from support.services import Services, seeds
from support.signals import frozen, send, with_children
from support.system import System, kill, request, wait_until
from support.whole import Whole, data_folder, finished, running_up

from ostatok.local.parts import is_alive
from ostatok.local.ports import free_port
from ostatok_stream.worker import STOP_SECONDS_MAX


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder."""
    with data_folder() as made:
        yield made


def check(whole: Whole | System) -> None:
    """Every invariant holds."""
    for name, query in QUERIES.items():
        assert whole.sql(query) == [], name


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", seeds(1, 6))
def test_one_inn_under_fire(folder: Path, seed: int) -> None:
    """20,000 webhooks over 64 connections to one INN, a fifth of them duplicates, everything dies.

    The worker, the broker, Postgres and the receiver are killed (-9) in the middle of it; a fresh
    start on the same folder stands where the last one was.
    """
    with running_up(folder, "--http", "2", "--stream", "2") as whole:
        bank = whole.bank(
            *("--webhooks", "20000", "--connections", "64", "--organizations", "1"),
            *("--duplicates", "0.2", "--conflicts", "0.01", "--bad", "0.01", "--seed", str(seed)),
        )
        for number, part in enumerate(("stream", "kafka", "postgres", "http", "stream"), 1):
            wanted = number * 2_000
            wait_until(lambda n=wanted: received(whole) >= n, f"{wanted} received")  # type: ignore[misc]
            whole.kill(part)
        said = finished(bank)
        assert "1 balances are right" in said
        check(whole)
        balances = whole.sql("SELECT inn, balance, entries FROM organization")
        assert len(balances) == 1
        assert 15_000 < balances[0][2] < 16_500
        assert whole.stop() < 10
    with running_up(folder) as again:
        assert again.sql("SELECT inn, balance, entries FROM organization") == balances
        assert again.stop(signal.SIGTERM) < 10


def received(whole: Whole) -> int:
    """Records that have their outcome; what the last look said when Postgres is away."""
    try:
        return int(whole.sql("SELECT sum(next_offset)::bigint FROM applied_offset")[0][0])
    except psycopg.OperationalError:
        return 0


def test_workers_join_and_leave(services: Services, tmp_path: Path) -> None:
    """Partitions move under load, by SIGTERM and by kill -9: every payment is applied once."""
    with System(services.new_settings(log_operations=False), tmp_path) as system:
        system.start_http()
        first = system.start_stream()
        inns = [f"77{number:08}" for number in range(24)]
        sent = 0

        def post(some: int) -> None:
            nonlocal sent
            for _ in range(some):
                inn = inns[sent % len(inns)]
                assert system.post(body(payer_inn=inn, amount="0.01")).status == 200
                sent += 1

        post(50)
        second = system.start_stream(free_port())
        post(50)
        kill(first)
        post(50)
        third = system.start_stream(free_port())
        post(50)
        second.terminate()
        post(50)
        assert second.wait(15) == 0
        wait_until(lambda: system.sql("SELECT count(*) FROM payment") == [(sent,)], "all applied")
        assert third.poll() is None
        check(system)
        assert system.sql("SELECT count(*) FROM duplicate") == [(0,)]


BALANCE = "/api/organizations/{inn}/balance/"
WEBHOOK = "/api/webhook/bank/"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    """A system whose parts freeze, and thaw again."""
    with data_folder() as made, running_up(made, OSTATOK_PUBLISH_TIMEOUT_SECONDS="3") as running:
        yield running


def test_postgres_away_is_waited_for(whole: Whole) -> None:
    """Webhooks are taken while Postgres is frozen; they are in the balance when it is back."""
    path = BALANCE.format(inn="1234567890")
    with frozen(with_children(whole.run["pids"]["postgres"][0])):
        assert request(whole.port, "POST", WEBHOOK, body(), JSON).status == 200
        started = time.monotonic()
        away = request(whole.port, "GET", path, seconds=20)
        assert away.status == 503
        assert int(away.headers["Retry-After"]) > 0
        assert time.monotonic() - started < 10
    wait_until(lambda: request(whole.port, "GET", path, seconds=20).status == 200, "it is back")
    found = request(whole.port, "GET", path)
    assert found.body == b'{"inn": "1234567890", "balance": 145000.00}'


def test_kafka_away_is_said_in_time(whole: Whole) -> None:
    """No acknowledgement within the deadline: 503 with Retry-After; the repeat counts once."""
    paid = body(payer_inn="7707083893")
    with frozen(whole.run["pids"]["kafka"]):
        started = time.monotonic()
        answer = request(whole.port, "POST", WEBHOOK, paid, JSON, seconds=20)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert time.monotonic() - started < 6

    def is_taken() -> bool:
        return request(whole.port, "POST", WEBHOOK, paid, JSON).status == 200

    wait_until(is_taken, "the repeat is taken")
    found = request(whole.port, "GET", BALANCE.format(inn="7707083893"))
    assert found.body == b'{"inn": "7707083893", "balance": 145000.00}'


def test_a_worker_ends_in_time_whatever_is_gone(whole: Whole) -> None:
    """SIGTERM while Kafka and Postgres answer nothing: it waits for them no longer than it may."""
    pids = whole.run["pids"]
    (worker,) = pids["stream"]
    with frozen([*pids["kafka"], *with_children(pids["postgres"][0])]):
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: not is_alive(worker), "it ended", STOP_SECONDS_MAX + 5)
    wait_until(lambda: whole.run["pids"]["stream"] not in ([], [worker]), "stream started again")
    assert "stream 0 ended by itself (exit 0)" in whole.said()
    paid = body(payer_inn="5024002119")
    assert request(whole.port, "POST", WEBHOOK, paid, JSON).status == 200
    path = BALANCE.format(inn="5024002119")
    wait_until(lambda: request(whole.port, "GET", path, seconds=20).status == 200, "it is applied")
    found = request(whole.port, "GET", path)
    assert found.body == b'{"inn": "5024002119", "balance": 145000.00}'


def test_a_second_signal_ends_a_worker_at_once(whole: Whole) -> None:
    """It waits for nothing then, and says in its exit code what ended it."""
    pids = whole.run["pids"]
    (worker,) = pids["stream"]

    def ended_by_the_next() -> bool:
        send([worker], signal.SIGTERM)
        return not is_alive(worker)

    with frozen([*pids["kafka"], *with_children(pids["postgres"][0])]):
        wait_until(ended_by_the_next, "it ended", 2)
    wait_until(lambda: whole.run["pids"]["stream"] not in ([], [worker]), "stream started again")
    assert f"stream 0 ended by itself (exit {128 + signal.SIGTERM})" in whole.said()


def test_a_webhook_in_hand_is_answered_before_the_end(whole: Whole) -> None:
    """SIGTERM while Kafka is slow: the 200 still goes out, and the money is there."""
    (http,) = whole.run["pids"]["http"]
    paid = body(payer_inn="500100732259")
    with ThreadPoolExecutor(1) as pool:
        with frozen(whole.run["pids"]["kafka"]):
            answer = pool.submit(request, whole.port, "POST", WEBHOOK, paid, JSON, 20)
            in_hand = "ostatok_http_publishing_webhooks 1.0"
            wait_until(
                lambda: in_hand in request(whole.port, "GET", "/metrics").body.decode(), in_hand
            )
            os.kill(http, signal.SIGTERM)
        assert answer.result().status == 200
    wait_until(lambda: whole.run["pids"]["http"] not in ([], [http]), "http started again")
    wait_until(whole.is_ready, "it is ready again")
    found = request(whole.port, "GET", BALANCE.format(inn="500100732259"))
    assert found.body == b'{"inn": "500100732259", "balance": 145000.00}'
