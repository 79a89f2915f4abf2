"""Letting go of tasks that may not let go themselves."""

import asyncio
from typing import Any

SECONDS_MAX = 0.5
"""How long its end is waited for: a frozen Postgres keeps a query it should cancel for 10 s."""


async def give_up(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait for their end for a moment; what is left of them ends by itself."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=SECONDS_MAX)
