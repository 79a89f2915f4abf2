"""Asking once for all who ask, and never giving anyone an answer from before his question."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class NextFlight(Generic[T]):
    """A question of which one is under way at the most: who comes meanwhile shares the next one."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._under_way: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """Give an answer that was asked for after this call, or raise what the asking raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
            self._next.add_done_callback(_take_notice)
        # Who gives up leaves the question to the others.
        return await asyncio.shield(self._next)

    def close(self) -> None:
        """Give the questions up."""
        for task in (self._next, self._under_way):
            if task is not None:
                task.cancel()

    async def _begin(self) -> T:
        if self._under_way is not None:
            await asyncio.wait({self._under_way})
        self._under_way, self._next = self._next, None
        try:
            return await self._ask()
        finally:
            # Who asks next need not wait, and what was found need not be kept.
            if self._under_way is asyncio.current_task():
                self._under_way = None


def _take_notice(task: asyncio.Task[Any]) -> None:
    """See the error, also when everyone has gone: else asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()
