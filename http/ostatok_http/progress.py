"""Waiting until the ledger has come far enough: one poll for all who wait."""

import asyncio

from ostatok.errors import LedgerUnavailable
from ostatok_http.ports import LedgerReader

POLL_SECONDS = 0.005
"""How often the ledger is asked how far it is, while somebody waits for it."""


class Progress:
    """Tells who waits when a partition is applied up to an offset."""

    def __init__(self, ledger: LedgerReader, waiting_max: int) -> None:
        """Let at most so many wait; who comes then is told at once that it did not come so far."""
        self._ledger = ledger
        self._waiting_max = waiting_max
        self._waiting: dict[asyncio.Future[bool], tuple[int, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._given_up = False

    async def reach(self, partition: int, offset: int, until: float) -> bool:
        """Wait until all of ``partition`` below ``offset`` is applied, or until the loop's time.

        Says which of the two it was. Raises :class:`LedgerUnavailable`.
        """
        loop = asyncio.get_running_loop()
        seconds = until - loop.time()
        if seconds <= 0 or self._given_up or len(self._waiting) >= self._waiting_max:
            return False
        reached: asyncio.Future[bool] = loop.create_future()
        self._waiting[reached] = (partition, offset)
        if self._task is None:
            self._task = loop.create_task(self._poll())
            self._task.add_done_callback(self._end)
        try:
            return await asyncio.wait_for(reached, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(reached, None)

    def give_up(self) -> None:
        """Let nobody wait any more: the service is stopping, and each gets what there is."""
        self._given_up = True
        for reached in self._waiting:
            if not reached.done():
                reached.set_result(False)

    def close(self) -> None:
        """Wait no longer."""
        if self._task is not None:
            self._task.cancel()

    async def _poll(self) -> None:
        while self._waiting:
            offsets = await self._ledger.offsets()
            for reached, (partition, offset) in self._waiting.items():
                stands_at, _ = offsets.get(partition, (0, ""))
                if stands_at >= offset and not reached.done():
                    reached.set_result(True)
            await asyncio.sleep(POLL_SECONDS)
        # Here and now: who comes before the loop has ended the task must start another.
        self._task = None

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        error = (
            LedgerUnavailable("The service is stopping.") if task.cancelled() else task.exception()
        )
        if error is None:
            return
        for reached in self._waiting:
            if not reached.done():
                reached.set_exception(error)
