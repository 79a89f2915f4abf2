"""A stream worker that dies, ends or freezes at a named point of its next batch, when told to.

``ostatok stream`` without a hook in it: this program changes psycopg and the ledger in its own
process, and then runs the same app. CHAOS_FOLDER is where points are armed, see points.py. With
CHAOS_SABOTAGE it breaks a promise on purpose, so that a run must end red: see sabotages.py.
"""

import os
from pathlib import Path
from typing import Any

import psycopg

from chaos import sabotages
from chaos.points import (
    AFTER_COMMIT,
    BEFORE_SQL,
    COMMITTING,
    FENCE_PASSED,
    IN_TRANSACTION,
    Points,
)
from ostatok_db.ledger import Ledger
from ostatok_db.queries import queries


def install(points: Points) -> None:
    """Put the points around the statements of a batch."""
    execute, apply = psycopg.AsyncCursor.execute, Ledger.apply
    leave = psycopg.AsyncTransaction.__aexit__
    inserting, advancing = queries["apply_incoming"], queries["advance_offsets"]
    # Connections whose transaction has moved the offsets: that of a batch, and nobody else's.
    advanced: set[Any] = set()

    async def execute_with_points(self: Any, query: Any, *given: Any, **more: Any) -> Any:
        if query is inserting:
            points.reach(FENCE_PASSED)
        done = await execute(self, query, *given, **more)
        if query is inserting:
            points.reach(IN_TRANSACTION)
        if query is advancing:
            advanced.add(self.connection)
        return done

    async def apply_with_points(self: Any, batch: Any, replay: Any = None) -> Any:
        points.reach(BEFORE_SQL)
        applied = await apply(self, batch, replay)
        points.reach(AFTER_COMMIT)
        return applied

    async def commit_with_points(self: Any, kind: Any, *given: Any) -> Any:
        moves_offsets = self.connection in advanced
        advanced.discard(self.connection)
        if kind is None and moves_offsets:
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
