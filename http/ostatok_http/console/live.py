"""What happens now, looked at every two seconds for as long as somebody watches.

The rates are differences between looks, so they cost one question to Kafka, one or two to
Postgres, and for what stands still the reading of one record a partition, once.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from ostatok.errors import (
    JournalError,
    JournalMismatch,
    JournalUnavailable,
    LedgerError,
    LedgerNotMigrated,
    LedgerUnavailable,
    OstatokError,
)
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser, Conflict, DeadRecord
from ostatok_http.console.looks import Look, Seen
from ostatok_http.console.waits import Waits
from ostatok_http.giving_up import give_up
from ostatok_http.journal_check import JournalCheck
from ostatok_http.ports import LedgerReader, RecordSource, TopicView

LOOK_SECONDS = 2.0
LOOKED_MAX = 450
"""Looks that are kept: a quarter of an hour."""

LOOK_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 4.0
"""How long Kafka, and how long Postgres, may take to say where it stands."""

RECENT = 8
WATCHERS_MAX = 100
UNWATCHED_SECONDS_MAX = 60.0
"""How long it goes on looking for nobody: who comes back soon finds the charts he left."""

_Answer = TypeVar("_Answer")

log = structlog.get_logger()


class Live:
    """Looks while somebody watches, and tells all who do."""

    def __init__(
        self,
        ledger: LedgerReader,
        topic: TopicView,
        records: RecordSource,
        browser: Browser,
        journal_check: JournalCheck,
    ) -> None:
        self._ledger = ledger
        self._topic = topic
        self._waits = Waits(records)
        self._browser = browser
        self._journal_check = journal_check
        self._looks: deque[Look] = deque(maxlen=LOOKED_MAX)
        self._seen = Seen((), (), (), None)
        self._conflicts: tuple[Conflict, ...] = ()
        self._dead: tuple[DeadRecord, ...] = ()
        self._news = asyncio.Condition()
        self._number = 0
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None
        self._watched_at = 0.0
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether as many watch as may."""
        return self._watchers >= WATCHERS_MAX

    async def now(self) -> Seen:
        """What was seen at the last look; looks when nobody did lately."""
        self._begin()
        if self._number == 0:
            await self._after(0)
        return self._seen

    async def watch(self) -> AsyncGenerator[Seen]:
        """Give what each look sees, from the last one on, until this is closed."""
        self._watchers += 1
        try:
            self._begin()
            number = -1 if self._number else 0
            while True:
                number = await self._after(number)
                if self._closed:
                    return
                yield self._seen
                self._watched_at = time.monotonic()
        finally:
            self._watchers -= 1

    async def close(self) -> None:
        """Stop looking, and let go of those who watch."""
        self._closed = True
        async with self._news:
            self._news.notify_all()
        if self._looking is not None:
            await give_up(self._looking)

    async def _after(self, number: int) -> int:
        """Wait for a look behind the one of that number, and give its own number."""
        async with self._news:
            await self._news.wait_for(lambda: self._number > number or self._closed)
            return self._number

    def _begin(self) -> None:
        self._watched_at = time.monotonic()
        if not self._closed and (self._looking is None or self._looking.done()):
            self._forget()
            self._number = 0
            self._looking = asyncio.create_task(self._look_on())

    def _is_watched(self) -> bool:
        return bool(self._watchers) or (time.monotonic() - self._watched_at < UNWATCHED_SECONDS_MAX)

    def _forget(self) -> None:
        """Let go of all looks: what comes is not to be compared with them."""
        self._looks.clear()
        self._waits.forget()

    async def _look_on(self) -> None:
        while not self._closed and self._is_watched():
            began = time.monotonic()
            self._seen = await self._see()
            async with self._news:
                self._number += 1
                self._news.notify_all()
            await asyncio.sleep(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    async def _see(self) -> Seen:
        """Look, and never fail: what went wrong is something to show."""
        problem = await _trouble_of(self._look())
        # Where topic and ledger stand is known also when what else there is can't be read.
        unread = await _trouble_of(self._look_closer()) if problem is None else None
        try:
            self._journal_check.require_match()
        except JournalMismatch as error:
            problem = error
        return Seen(tuple(self._looks), self._conflicts, self._dead, problem, unread)

    async def _look(self) -> None:
        # The ledger first: an end only grows, so no partition seems ahead of its topic.
        stored = await _in_time(self._ledger.offsets(), LedgerUnavailable(_late("Postgres")))
        if not stored:
            raise LedgerNotMigrated("The ledger knows no topic.")
        ranges = self._topic.ranges_async(stored)
        held = await _in_time(ranges, JournalUnavailable(_late("Kafka")))
        look = Look.of(datetime.now(UTC), time.monotonic(), stored, held)
        if self._looks and not look.follows(self._looks[-1]):
            self._forget()
        applied = {one.partition: one.next_offset for one in look.partitions}
        self._looks.append(look.aged(await self._waits.look(look.at, applied, held)))

    async def _look_closer(self) -> None:
        """Count what was applied since the look before, and read what was refused of last."""
        if len(self._looks) > 1:
            before, look = self._looks[-2], self._looks[-1]
            self._looks[-2] = before._replace(partitions=())  # Nobody asks for them again.
            self._looks[-1] = look._replace(outcomes=await self._outcomes(before, look))
        self._conflicts = tuple(await self._browser.conflicts(RECENT))
        self._dead = tuple(await self._browser.latest_dead(RECENT))

    async def _outcomes(self, before: Look, look: Look) -> dict[Outcome, int]:
        stood = {one.partition: one.next_offset for one in before.partitions}
        bounds = {
            one.partition: (stood[one.partition], one.next_offset)
            for one in look.partitions
            if stood[one.partition] < one.next_offset
        }
        if not bounds:
            return {}
        counts = await self._browser.outcomes_between(bounds)
        records = look.applied - before.applied
        return {**counts, Outcome.APPLIED: max(0, records - sum(counts.values()))}


async def _trouble_of(looking: Awaitable[None]) -> OstatokError | None:
    """Give what went wrong; None when nothing did."""
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            await looking
    except (JournalError, LedgerError) as error:
        return error
    except TimeoutError:
        return OstatokError(_late("Kafka or Postgres"))
    except Exception:  # A bug must not end the looking without a word.
        log.exception("console_look_failed")
        return OstatokError()
    return None


async def _in_time(asked: Awaitable[_Answer], error: OstatokError) -> _Answer:
    """Wait for an answer, and raise the error when it does not come."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await asked
    except TimeoutError:
        raise error from None


def _late(who: str) -> str:
    return f"{who} did not answer in time."
