"""What hangs is found, and what waits and says so is let be."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from support.payments import body
from support.services import Services
from support.system import System, wait_until

from ostatok.local.processes import environment_of
from ostatok_stream.monitoring import INTERVAL_SECONDS
from ostatok_stream.watchdog import (
    LOOK_SECONDS_MAX,
    LOOP_SECONDS_MAX,
    PARTITION_SECONDS_MAX,
    REBALANCE_SECONDS_MAX,
    STALL_SECONDS_MAX,
    Progress,
)
from ostatok_stream.worker import STOP_SECONDS_MAX


class Clock:
    """Time, by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Time, by hand."""
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    """A worker that has its partitions."""
    made = Progress(clock)
    made.positioned(yes=True)
    return made


def pass_time(clock: Clock, progress: Progress, seconds: float, lag: int | None = None) -> None:
    """Let time pass with a loop that answers, and somebody who looks at the lag unless None."""
    for _ in range(int(seconds)):
        clock.now += 1
        progress.loop_at = clock.now
        if lag is not None:
            # Where it stands moves with every batch that was applied.
            progress.looked({0: (int(progress.progress_at), lag)}, is_fetching=True)


def test_an_idle_worker_is_let_be(clock: Clock, progress: Progress) -> None:
    """Nothing to do is no hang, however long."""
    pass_time(clock, progress, 10_000, lag=0)
    assert progress.complaint() is None


def test_a_silent_loop(clock: Clock, progress: Progress) -> None:
    """Blocked by something that never yields."""
    clock.now += LOOP_SECONDS_MAX + 1
    assert "loop" in str(progress.complaint())


def test_lag_without_progress(clock: Clock, progress: Progress) -> None:
    """Records wait and none is applied; one batch, or one wait that was reported, is enough."""
    pass_time(clock, progress, STALL_SECONDS_MAX, lag=5)
    assert progress.complaint() is None
    progress.made()
    pass_time(clock, progress, STALL_SECONDS_MAX, lag=5)
    assert progress.complaint() is None
    pass_time(clock, progress, 2, lag=5)
    assert "5 records wait" in str(progress.complaint())


def test_lag_after_a_long_idle_time_is_not_late_at_once(clock: Clock, progress: Progress) -> None:
    """The first record after a quiet night has its minute too."""
    pass_time(clock, progress, 10_000, lag=0)
    pass_time(clock, progress, 1, lag=1)
    assert progress.complaint() is None


def test_an_endless_rebalance(clock: Clock, progress: Progress) -> None:
    """Waiting in it is let be when it is reported."""
    progress.positioned(yes=False)
    pass_time(clock, progress, REBALANCE_SECONDS_MAX)
    progress.made()
    pass_time(clock, progress, REBALANCE_SECONDS_MAX)
    assert progress.complaint() is None
    pass_time(clock, progress, 2)
    assert "rebalance" in str(progress.complaint())


def test_a_dead_fetch_task(progress: Progress) -> None:
    """aiokafka's, which nobody else looks at."""
    progress.looked({}, is_fetching=False)
    assert "fetch task" in str(progress.complaint())


def test_a_partition_that_starves(clock: Clock, progress: Progress) -> None:
    """It has records and stands still while another goes on; a rebalance gives it more time."""
    for second in range(2 * int(PARTITION_SECONDS_MAX)):
        if second == PARTITION_SECONDS_MAX:
            assert progress.complaint() is None
            progress.positioned(yes=True)
        clock.now += 1
        progress.made()
        progress.loop_at = clock.now
        progress.looked({0: (second, 5), 1: (7, 3), 2: (9, 0)}, is_fetching=True)
    assert progress.complaint() is None
    clock.now += 2
    progress.made()
    assert "Partition 1 stood still" in str(progress.complaint())


def test_nobody_looks(clock: Clock, progress: Progress) -> None:
    """The one who reports the lag hangs himself."""
    pass_time(clock, progress, LOOK_SECONDS_MAX + 1)
    assert "looked" in str(progress.complaint())


def test_a_blocked_worker_ends(services: Services, tmp_path: Path) -> None:
    """A real one whose loop is blocked says so and exits with 1, for its supervisor to see."""
    settings = services.new_settings()
    block = (
        "import time; from ostatok_stream import agent, app;"
        "agent.Applier.apply = lambda *_: time.sleep(3600); app.run()"
    )
    with System(settings, tmp_path) as system, (tmp_path / "out").open("wb") as out:
        system.start_http()
        worker = subprocess.Popen(
            [sys.executable, "-c", block], env=environment_of(settings), stdout=out, stderr=out
        )
        try:
            system.wait_ready(settings.stream_metrics_port, worker)
            started = time.monotonic()
            assert system.post(body()).status == 200
            wait_until(lambda: worker.poll() is not None, "it ended", LOOP_SECONDS_MAX + 15)
            assert worker.returncode == 1
            assert time.monotonic() - started > LOOP_SECONDS_MAX - 1
        finally:
            worker.kill()
            worker.wait()
    assert "loop was silent" in (tmp_path / "out").read_text(encoding="utf-8")


def test_a_worker_waits_at_its_start(services: Services, tmp_path: Path) -> None:
    """However long, and then it goes on: who looks at the lag must not end it meanwhile."""
    settings = services.new_settings()
    name = settings.database_schema
    with (
        System(settings, tmp_path) as system,
        psycopg.connect(settings.database_conninfo, autocommit=True) as connection,
    ):
        connection.execute(f"ALTER SCHEMA {name} RENAME TO away".encode())
        worker = system.start("stream", log="stream.log")

        def has_waited() -> bool:
            """Longer than the interval: the pauses before that one sum up to it."""
            waits = system.events("stream.log", "start_delayed")
            return bool(waits) and waits[-1]["retry_seconds"] >= INTERVAL_SECONDS

        wait_until(has_waited, "it has waited")
        connection.execute(f"ALTER SCHEMA away RENAME TO {name}".encode())
        system.wait_ready(settings.stream_metrics_port, worker)
        worker.terminate()
        assert worker.wait(STOP_SECONDS_MAX + 5) == 0
