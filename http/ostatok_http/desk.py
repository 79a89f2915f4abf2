"""Where work that blocks is done: in threads, few at once, and nobody waits for ever."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from ostatok.errors import JournalUnavailable, LedgerUnavailable

T = TypeVar("T")


class Desk:
    """Does one piece of work after another, a few at a time, beside the loop.

    The threads are daemons: one that a frozen database holds keeps its place until the database
    goes on, and does not keep the process from ending.
    """

    def __init__(
        self,
        at_once: int,
        in_hand_max: int,
        seconds: float,
        away: type[JournalUnavailable | LedgerUnavailable] = LedgerUnavailable,
    ) -> None:
        """Let who comes wait ``seconds`` for his work to be done, and so many have work here.

        ``away`` is the error of whom the work is asked.
        """
        self._away = away
        self._places = asyncio.Semaphore(at_once)
        self._in_hand_max = in_hand_max
        self._in_hand = 0
        self._seconds = seconds

    async def do(self, work: Callable[[], T]) -> T:
        """Give what the work gives, or raise what it raises.

        Raises ``away`` when there is too much of it, and when it takes too long;
        then it goes on, and nobody knows how it ends.
        """
        if self._in_hand >= self._in_hand_max:
            raise self._away("Too much of this kind is in hand.")
        self._in_hand += 1
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
                return await self._begin(work)
        except TimeoutError:
            raise self._away("The work was not done in time.") from None
        finally:
            self._in_hand -= 1

    def _begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start a thread, which gives the place back itself."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: Exception | None) -> None:
            self._places.release()
            if done.done():  # Who asked has gone.
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # without an error it is a T

        def run() -> None:
            result, failure = None, None
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  # it is raised where the work is waited for
                failure = error
            with suppress(RuntimeError):  # The loop was closed meanwhile: the process is ending.
                loop.call_soon_threadsafe(finish, result, failure)

        Thread(target=run, name="desk", daemon=True).start()
        return done
