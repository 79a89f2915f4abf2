"""The thread that ends a worker that hangs without saying so.

Faust and aiokafka can hang for good without an error, and the process looks alive: its loop may be
blocked, a rebalance may never end, the fetch task may be dead, a batch may wait for a server that
answers nothing. Whoever waits for Postgres or Kafka and says so is not hanging.
"""

import asyncio
import time
from collections.abc import Callable
from threading import Thread

import structlog

from ostatok.errors import OstatokError
from ostatok_stream.ending import end_process

LOOP_SECONDS_MAX = 15.0
REBALANCE_SECONDS_MAX = 120.0
STALL_SECONDS_MAX = 60.0
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
        self.is_positioned = False
        self.is_fetching = True
        self.forgive()

    def forgive(self) -> None:
        """Begin all clocks anew."""
        self.loop_at = self.progress_at = self.looked_at = self.positioned_at = self._now()

    def made(self) -> None:
        """Report that a batch was applied, or that somebody waits and has said for what."""
        self.progress_at = self._now()
        if not self.is_positioned:
            self.positioned_at = self.progress_at

    def positioned(self, *, yes: bool) -> None:
        """Report the beginning or the end of a rebalance."""
        self.is_positioned = yes
        self.positioned_at = self.progress_at = self.looked_at = self._now()

    def looked(self, lag: int, *, is_fetching: bool) -> None:
        """Report how far behind the topic's end the worker's partitions are."""
        if self.lag == 0:
            self.progress_at = self._now()  # What came since the last look was not late yet.
        self.lag = lag
        self.is_fetching = is_fetching
        self.looked_at = self._now()

    def complaint(self) -> str | None:
        """Say what hangs; None when nothing does."""
        now = self._now()
        here = self.is_positioned
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
