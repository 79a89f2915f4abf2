"""Letting go of a task that may not let go itself."""

import asyncio
from typing import Any

SECONDS_MAX = 0.5
"""How long its end is waited for: a frozen Postgres keeps a query it should cancel for 10 s."""


async def give_up(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait for its end for a moment; what is left of it ends by itself."""
    task.cancel()
    await asyncio.wait({task}, timeout=SECONDS_MAX)
