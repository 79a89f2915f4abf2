"""The thread that ends a worker that hangs without saying so.

Faust and aiokafka can hang for good without an error, and the process looks alive: its loop may be
blocked, a rebalance may never end, the fetch task may be dead, a batch may wait for a server that
answers nothing. Whoever waits for Postgres or Kafka and says so is not hanging.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from threading import Thread

import structlog

from ostatok.errors import OstatokError
from ostatok_stream.ending import end_process

LOOP_SECONDS_MAX = 15.0
REBALANCE_SECONDS_MAX = 120.0
STALL_SECONDS_MAX = 60.0
PARTITION_SECONDS_MAX = 180.0
"""How long a partition may stand still while it has records and others go on. A backlog in all of
them is read in turns, each of a few batches."""
LOOK_SECONDS_MAX = 60.0
TICK_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""A tick that comes so late means that the whole process was paused: all clocks begin anew."""

log = structlog.get_logger()


class WorkerHangs(OstatokError):
    """The worker hangs."""


class Progress:
    """What the worker reports; read by the watchdog's thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.lag = 0
        self._stands: dict[int, tuple[int, float]] = {}
        self.is_positioned = False
        self.is_fetching = True
        self.forgive()

    def forgive(self) -> None:
        """Begin all clocks anew."""
        self.loop_at = self.progress_at = self.looked_at = self.positioned_at = self._now()
        self._stands.clear()

    def made(self) -> None:
        """Report that a batch was applied, or that somebody waits and has said for what."""
        self.progress_at = self._now()
        if not self.is_positioned:
            self.positioned_at = self.progress_at

    def positioned(self, *, yes: bool) -> None:
        """Report the beginning or the end of a rebalance."""
        self.is_positioned = yes
        self.positioned_at = self.progress_at = self.looked_at = self._now()
        self._stands.clear()

    def looked(self, behind: Mapping[int, tuple[int, int]], *, is_fetching: bool) -> None:
        """Report where each partition stands and how many records wait there.

        A partition that is not among them is not known, and its clock begins anew.
        """
        now = self._now()
        if self.lag == 0:
            self.progress_at = now  # What came since the last look was not late yet.
        self.lag = sum(lag for _, lag in behind.values())
        before = dict(self._stands)
        self._stands = {
            one: (at, before[one][1] if one in before and before[one][0] == at else now)
            for one, (at, lag) in behind.items()
            if lag
        }
        self.is_fetching = is_fetching
        self.looked_at = now

    def _starved(self) -> int | None:
        """Give a partition that has stood still for too long."""
        now = self._now()
        for partition, (_, since) in list(self._stands.items()):
            if now - since > PARTITION_SECONDS_MAX:
                return partition
        return None

    def complaint(self) -> str | None:
        """Say what hangs; None when nothing does."""
        now = self._now()
        here = self.is_positioned
        starved = self._starved()
        hangs = {
            f"Its loop was silent for {LOOP_SECONDS_MAX:g} s.": (
                now - self.loop_at > LOOP_SECONDS_MAX
            ),
            f"A rebalance did not end within {REBALANCE_SECONDS_MAX:g} s.": (
                not here and now - self.positioned_at > REBALANCE_SECONDS_MAX
            ),
            "aiokafka's fetch task is dead.": here and not self.is_fetching,
            f"{self.lag} records wait, and none was applied for {STALL_SECONDS_MAX:g} s.": (
                here and self.lag > 0 and now - self.progress_at > STALL_SECONDS_MAX
            ),
            f"Partition {starved} stood still for {PARTITION_SECONDS_MAX:g} s; others went on.": (
                # Whoever waits for Postgres and says so has reported it until now.
                here and starved is not None and now - self.progress_at < STALL_SECONDS_MAX
            ),
            f"Nobody looked at the lag for {LOOK_SECONDS_MAX:g} s.": (
                here and now - self.looked_at > LOOK_SECONDS_MAX
            ),
        }
        return next((what for what, is_so in hangs.items() if is_so), None)


class Watchdog:
    """Looks at the progress every second, from outside of the loop."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stopped = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch ``loop`` and what it reports, until ``stop``."""
        self._progress.forgive()
        Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped = True

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        last = time.monotonic()
        while not self._stopped:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            if now - last > PAUSE_SECONDS:
                log.info("worker_was_paused", seconds=round(now - last))
                self._progress.forgive()
            last = now
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self._pong)
            complaint = self._progress.complaint()
            if complaint is not None and not self._stopped:
                end_process(WorkerHangs(f"The worker hangs: {complaint}"))

    def _pong(self) -> None:
        self._progress.loop_at = time.monotonic()
