"""Nothing lost, nothing twice: the whole system under a bank, while its parts die."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from support.payments import body
from support.services import Services
from support.system import System, kill, request, wait_until
from support.whole import Whole, data_folder, finished, running_up

from ostatok.local.ports import free_port

INVARIANTS = {
    "balances are the sums of the payments": """
        SELECT inn FROM organization FULL JOIN (SELECT inn, sum(amount) AS total, count(*) AS many
        FROM payment GROUP BY inn) p USING (inn)
        WHERE (balance, entries) IS DISTINCT FROM (total, many)""",
    "balances are the last log entries": """
        SELECT o.inn FROM organization o LEFT JOIN balance_log l ON l.inn = o.inn
        AND l.entry = o.entries WHERE (l.new_balance, l.link, l.created_at)
        IS DISTINCT FROM (o.balance, o.head, o.changed_at)""",
    "log entries are consecutive and add up": """
        SELECT inn FROM (SELECT inn, entry, previous_balance, new_balance,
        row_number() OVER w AS place, lag(new_balance, 1, 0::numeric) OVER w AS before
        FROM balance_log WINDOW w AS (PARTITION BY inn ORDER BY entry)) e
        WHERE entry <> place OR previous_balance <> before""",
    "every offset has one outcome": """
        SELECT partition FROM applied_offset a WHERE next_offset <> (
        SELECT count(*) FROM (
        SELECT "offset" FROM payment p WHERE p.partition = a.partition UNION ALL
        SELECT "offset" FROM duplicate d WHERE d.partition = a.partition UNION ALL
        SELECT "offset" FROM dead_letter x WHERE x.partition = a.partition) o)""",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder."""
    with data_folder() as made:
        yield made


def check(whole: Whole | System) -> None:
    """Every invariant holds."""
    for name, query in INVARIANTS.items():
        assert whole.sql(query) == [], name


@pytest.mark.timeout(400)
def test_one_inn_under_fire(folder: Path) -> None:
    """20,000 webhooks over 64 connections to one INN, a fifth of them duplicates, everything dies.

    The worker, the broker, Postgres and the receiver are killed (-9) in the middle of it; a fresh
    start on the same folder stands where the last one was.
    """
    with running_up(folder, "--http", "2", "--stream", "2") as whole:
        bank = whole.bank(
            *("--webhooks", "20000", "--connections", "64", "--organizations", "1"),
            *("--duplicates", "0.2", "--conflicts", "0.01", "--bad", "0.01", "--seed", "1"),
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


def test_postgres_away_is_waited_for(folder: Path) -> None:
    """Webhooks are taken while Postgres is frozen; they are in the balance when it is back."""
    path = "/api/organizations/1234567890/balance/"
    with running_up(folder) as whole:
        frozen = with_children(whole.run["pids"]["postgres"][0])
        send(frozen, signal.SIGSTOP)
        try:
            headers = {"Content-Type": "application/json"}
            answer = request(whole.port, "POST", "/api/webhook/bank/", body(), headers)
            assert answer.status == 200
            started = time.monotonic()
            away = request(whole.port, "GET", path, seconds=20)
            assert away.status == 503
            assert int(away.headers["Retry-After"]) > 0
            assert time.monotonic() - started < 10
        finally:
            send(frozen, signal.SIGCONT)
        wait_until(lambda: request(whole.port, "GET", path, seconds=20).status == 200, "it is back")
        found = request(whole.port, "GET", path)
        assert found.body == b'{"inn": "1234567890", "balance": 145000.00}'


def test_kafka_away_is_said_in_time(folder: Path) -> None:
    """No acknowledgement within the deadline: 503 with Retry-After; the repeat counts once."""
    headers = {"Content-Type": "application/json"}
    paid = body()
    with running_up(folder, OSTATOK_PUBLISH_TIMEOUT_SECONDS="2") as whole:
        kafka = whole.run["pids"]["kafka"]
        send(kafka, signal.SIGSTOP)
        try:
            started = time.monotonic()
            answer = request(whole.port, "POST", "/api/webhook/bank/", paid, headers, seconds=20)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert time.monotonic() - started < 6
        finally:
            send(kafka, signal.SIGCONT)

        def is_taken() -> bool:
            return request(whole.port, "POST", "/api/webhook/bank/", paid, headers).status == 200

        wait_until(is_taken, "the repeat is taken")
        path = "/api/organizations/1234567890/balance/"
        found = request(whole.port, "GET", path)
        assert found.body == b'{"inn": "1234567890", "balance": 145000.00}'


def with_children(pid: int) -> list[int]:
    """A process and those it started."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [pid, *map(int, done.stdout.split())]


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
