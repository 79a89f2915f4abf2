"""A stream worker that dies, ends or freezes at a named point of its next batch, when told to.

``ostatok stream`` without a hook in it: this program changes psycopg and the ledger in its own
process, and then runs the same app. A point is armed by a file ``<point>.<action>`` in the folder
CHAOS_FOLDER; the first worker that gets there takes the file away and does it to itself, or to
whom the file names. With
CHAOS_SABOTAGE it breaks a promise on purpose, so that a run must end red: see sabotages.py.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import psycopg

from chaos import sabotages
from ostatok_db.ledger import Ledger
from ostatok_db.queries import queries

BEFORE_SQL, BETWEEN, FENCE_PASSED = "before_sql", "between", "fence_passed"
IN_TRANSACTION, COMMITTING, AFTER_COMMIT = "in_transaction", "committing", "after_commit"
ACTIONS = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "end": signal.SIGTERM,
    "quit": signal.SIGQUIT,
}


class Points:
    """Where this worker may be told to do something to itself."""

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


def _send(number: int, order: str) -> None:
    """Send the signal to this process at once, or to ``<pid> <seconds>`` after these seconds."""
    if not order:
        os.kill(os.getpid(), number)
        return
    pid, seconds = order.split()
    threading.Timer(float(seconds), os.kill, (int(pid), number)).start()


def install(points: Points) -> None:
    """Put the points around the statements of a batch."""
    execute, apply = psycopg.AsyncCursor.execute, Ledger.apply
    leave = psycopg.AsyncTransaction.__aexit__
    inserting = queries["apply_incoming"]

    async def execute_with_points(self: Any, query: Any, *given: Any, **more: Any) -> Any:
        if query is inserting:
            points.reach(FENCE_PASSED)
        done = await execute(self, query, *given, **more)
        if query is inserting:
            points.reach(IN_TRANSACTION)
        return done

    async def apply_with_points(self: Any, batch: Any) -> Any:
        points.reach(BEFORE_SQL)
        applied = await apply(self, batch)
        points.reach(AFTER_COMMIT)
        return applied

    async def commit_with_points(self: Any, kind: Any, *given: Any) -> Any:
        if kind is None:
            points.reach(COMMITTING)
        return await leave(self, kind, *given)

    psycopg.AsyncTransaction.__aexit__ = commit_with_points  # type: ignore[method-assign,assignment]
    psycopg.AsyncCursor.execute = execute_with_points  # type: ignore[method-assign]
    Ledger.apply = apply_with_points  # type: ignore[method-assign]


def main() -> None:
    """Run the worker."""
    points = Points(Path(os.environ["CHAOS_FOLDER"]))
    sabotage = os.environ.get("CHAOS_SABOTAGE", "")
    if sabotage in sabotages.OF_THE_WORKER:
        sabotages.OF_THE_WORKER[sabotage](points.reach)
    install(points)
    from ostatok_stream import app  # noqa: PLC0415  # it reads the settings when imported

    seconds = float(os.environ["CHAOS_SESSION_SECONDS"])
    app.app.conf.broker_session_timeout = seconds
    app.app.conf.broker_heartbeat_interval = seconds / 5
    app.run()


if __name__ == "__main__":
    main()
