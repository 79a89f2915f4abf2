"""Operators' commands: started, and their runs looked at as the service does."""

import asyncio
import subprocess
import sys

from ostatok.local.processes import environment_of
from ostatok.settings import Settings
from ostatok_db.pool import Pool
from ostatok_db.runs import Run, RunReader


async def read_runs(settings: Settings, recent: int | None = None) -> list[Run]:
    """The last run of each command, or so many ``recent`` ones."""
    pool = Pool(settings)
    await pool.open()
    try:
        reader = RunReader(settings, pool)
        return await (reader.last_of_each() if recent is None else reader.recent(recent))
    finally:
        await pool.close()


def last_runs(settings: Settings) -> dict[str, Run]:
    """Command → its last run."""
    return {run.command: run for run in asyncio.run(read_runs(settings))}


def start(settings: Settings, *command: str) -> subprocess.Popen[bytes]:
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "ostatok", *command],
        env=environment_of(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
