"""Faust's worker, taught to end in time when it is asked to.

Faust stops in order and waits for each step: the batch in hand, the look at the lag, the goodbye to
Kafka's group. With Postgres or Kafka frozen that takes for ever. Nothing is lost by waiting no
longer: what is not committed is rolled back, and read again from the ledger's offsets.
"""

import faulthandler
import os
import signal
import sys
import time
from threading import Thread
from typing import Any

import faust
import structlog

from ostatok_stream.ending import end_process

STOP_SECONDS_MAX = 8.0
"""How long the end may take: less than the 10 s after which ``docker stop`` kills. A worker that
nothing holds up takes 1.4 s; Kafka gives the partitions of one that was cut short to others when
its session is over, after 15 s."""

log = structlog.get_logger()


class Worker(faust.Worker):
    """Stops in order at the first signal, at once when the same one comes again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._signals_seen: set[int] = set()

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        # As ostatok_http does: Ctrl-C may be followed by a supervisor's SIGTERM.
        if signal in self._signals_seen:
            os._exit(128 + signal)
        self._signals_seen.add(signal)
        super()._schedule_shutdown(signal)

    def _on_sigusr1(self) -> None:
        # Faust's own way prints the values of all variables, and so what is secret, into the log.
        faulthandler.dump_traceback()

    def _on_sigusr2(self) -> None:
        # Faust would wait for somebody to debug it.
        log.warning("signal_ignored", signal="SIGUSR2")

    def on_worker_shutdown(self) -> None:
        """End loudly after a crash inside of Faust that nobody asked for."""
        crash = self.crash_reason or sys.exception()
        if crash is not None and not self._signals_seen:
            end_process(crash)

    async def on_stop(self) -> None:
        """Begin to count: the first thing of a stop."""
        Thread(target=self._cut_short, name="deadline", daemon=True).start()
        await super().on_stop()

    def _cut_short(self) -> None:
        time.sleep(STOP_SECONDS_MAX)
        try:
            log.warning("stop_cut_short", seconds=STOP_SECONDS_MAX)
        finally:
            os._exit(1 if self.crashed else 0)
