"""The named points of a batch at which a worker can be told to do something to itself.

A point is armed by a file ``<point>.<action>`` in a folder; the first worker that gets there takes
the file away, by putting its own process id behind the name.
"""

import os
import signal
import threading
from pathlib import Path

BEFORE_SQL, BETWEEN, FENCE_PASSED = "before_sql", "between", "fence_passed"
IN_TRANSACTION, COMMITTING, AFTER_COMMIT = "in_transaction", "committing", "after_commit"
ACTIONS = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "end": signal.SIGTERM,
    "quit": signal.SIGQUIT,
}


class Points:
    """Where this worker may be told to do something to itself, or to whom the file names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reach(self, point: str) -> None:
        """Do what the point is armed with, if it is, and if nobody else was faster."""
        for action, number in ACTIONS.items():
            armed = self._folder / f"{point}.{action}"
            if not armed.exists():
                continue
            taken = self._folder / f"{point}.{action}.{os.getpid()}"
            try:
                armed.rename(taken)
            except FileNotFoundError:
                continue
            _send(number, taken.read_text(encoding="ascii"))


def taken_by(armed: Path) -> int | None:
    """Give the process that took an armed file away; None when nobody did."""
    taken = list(armed.parent.glob(f"{armed.name}.*"))
    return int(taken[0].suffix[1:]) if taken else None


def _send(number: int, order: str) -> None:
    """Send the signal to this process at once, or to ``<pid> <seconds>`` after these seconds."""
    if not order:
        os.kill(os.getpid(), number)
        return
    pid, seconds = order.split()
    threading.Timer(float(seconds), os.kill, (int(pid), number)).start()
