"""Signals to processes and to those they started."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def with_children(pid: int) -> list[int]:
    """A process and those it started."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *map(int, done.stdout.split())]


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Processes that are stopped for a while."""
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)
