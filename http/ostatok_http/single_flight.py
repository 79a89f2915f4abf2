"""Asking the ledger, and not for ever: a frozen database answers neither a query nor a cancel."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ostatok.errors import LedgerUnavailable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """A question of which one is under way at the most: who comes meanwhile shares its answer.

    Who has waited too long goes away, and the question stays: cancelling a query means waiting for
    the server to say so.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> None:
        """Ask by ``ask``, and wait ``seconds`` for the answer at the most."""
        self._ask = ask
        self._seconds = seconds
        self._task: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """Give the answer, or raise :class:`LedgerUnavailable` when it does not come in time."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.get_running_loop().create_task(self._ask())
            task.add_done_callback(_take_notice)
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if not done:
            raise LedgerUnavailable("The database does not answer in time.")
        return task.result()

    def close(self) -> None:
        """Give the question up."""
        if self._task is not None:
            self._task.cancel()


def _take_notice(task: asyncio.Task[Any]) -> None:
    """See the error, also when everyone has gone: else asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()
