"""What happens now, looked at every two seconds for as long as somebody watches.

The rates are differences between looks, so they cost one question to Kafka, one or two to
Postgres, and for what is behind the reading of one record a partition.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from ostatok import journal
from ostatok.errors import JournalError, LedgerError, OstatokError
from ostatok.topic import Range
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser, Conflict, DeadRecord
from ostatok_http.ports import LedgerReader, RecordSource, TopicView

LOOK_SECONDS = 2.0
LOOKED_MAX = 450
"""Looks that are kept: a quarter of an hour."""

RATE_LOOKS = 5
"""Looks that a rate of now is taken over."""

LOOK_SECONDS_MAX = 10.0
RECENT = 8
WATCHERS_MAX = 100
UNWATCHED_SECONDS_MAX = 60.0
"""How long it goes on looking for nobody: who comes back soon finds the charts he left."""

_MOVED_NO_MONEY = (Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.DEAD)

log = structlog.get_logger()


class Standing(NamedTuple):
    """Where a partition stands."""

    partition: int
    earliest: int
    end: int
    next_offset: int
    oldest: datetime | None
    """When the first record that is not applied yet was received; None when there is none."""

    @property
    def lag(self) -> int:
        """Records that are not applied yet."""
        return max(0, self.end - self.next_offset)


class Look(NamedTuple):
    """What one look saw."""

    at: datetime
    monotonic: float
    partitions: tuple[Standing, ...]
    outcomes: Mapping[Outcome, int]
    """Records that got each outcome since the look before."""

    @property
    def received(self) -> int:
        """Records that the topic was ever given."""
        return sum(one.end for one in self.partitions)

    @property
    def applied(self) -> int:
        """Records that have their outcome, or were there before the ledger's first."""
        return sum(one.next_offset for one in self.partitions)

    @property
    def lag(self) -> int:
        """Records that are not applied yet."""
        return sum(one.lag for one in self.partitions)

    @property
    def oldest_seconds(self) -> float | None:
        """How long the oldest of them waits; None when none does."""
        waiting = [one.oldest for one in self.partitions if one.oldest is not None]
        return (self.at - min(waiting)).total_seconds() if waiting else None


class Seen(NamedTuple):
    """All that is shown: the looks that are kept, what came last, and what is wrong now."""

    looks: tuple[Look, ...]
    conflicts: tuple[Conflict, ...]
    dead: tuple[DeadRecord, ...]
    problem: OstatokError | None
    """Who could not be asked at the last look."""

    def rates(self) -> list[tuple[datetime, float, float]]:
        """Between each two looks: when, records received and records applied, each a second."""
        return [
            (
                later.at,
                (later.received - sooner.received) / (later.monotonic - sooner.monotonic),
                (later.applied - sooner.applied) / (later.monotonic - sooner.monotonic),
            )
            for sooner, later in zip(self.looks, self.looks[1:], strict=False)
        ]

    def rate_now(self) -> tuple[float, float] | None:
        """Records received and applied a second, over the last looks; None before the second."""
        rates = Seen(self.looks[-RATE_LOOKS - 1 :], (), (), None).rates()
        if not rates:
            return None
        return sum(one[1] for one in rates) / len(rates), sum(one[2] for one in rates) / len(rates)

    def outcomes(self) -> dict[Outcome, int]:
        """Records by outcome, of all looks that are kept."""
        return {
            outcome: sum(look.outcomes.get(outcome, 0) for look in self.looks)
            for outcome in (Outcome.APPLIED, *_MOVED_NO_MONEY)
        }


class Live:
    """Looks while somebody watches, and tells all who do."""

    def __init__(
        self, ledger: LedgerReader, topic: TopicView, records: RecordSource, browser: Browser
    ) -> None:
        self._ledger = ledger
        self._topic = topic
        self._records = records
        self._browser = browser
        self._looks: deque[Look] = deque(maxlen=LOOKED_MAX)
        self._seen = Seen((), (), (), None)
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

    async def watch(self) -> AsyncIterator[Seen]:
        """Give what each look sees, from the last one on, until this is closed."""
        self._watchers += 1
        try:
            self._begin()
            number = -1 if self._number else 0
            while not self._closed:
                number = await self._after(number)
                yield self._seen
                self._watched_at = time.monotonic()
        finally:
            self._watchers -= 1

    async def close(self) -> None:
        """Stop looking, and let go of those who watch."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        async with self._news:
            self._news.notify_all()

    async def _after(self, number: int) -> int:
        """Wait for a look behind the one of that number, and give its own number."""
        async with self._news:
            await self._news.wait_for(lambda: self._number > number or self._closed)
            return self._number

    def _begin(self) -> None:
        self._watched_at = time.monotonic()
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looks.clear()
            self._number = 0
            self._looking = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        while self._watchers or time.monotonic() - self._watched_at < UNWATCHED_SECONDS_MAX:
            began = time.monotonic()
            self._seen = await self._see()
            async with self._news:
                self._number += 1
                self._news.notify_all()
            await asyncio.sleep(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    async def _see(self) -> Seen:
        """Look, and never fail: what went wrong is something to show."""
        problem: OstatokError | None = None
        conflicts, dead = self._seen.conflicts, self._seen.dead
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                self._looks.append(await self._look())
                conflicts = tuple(await self._browser.conflicts(RECENT))
                dead = tuple(await self._browser.latest_dead(RECENT))
        except (JournalError, LedgerError) as error:
            problem = error
        except TimeoutError:
            problem = OstatokError("Kafka and Postgres did not answer in time.")
        except Exception:  # A bug must not end the looking without a word.
            log.exception("console_look_failed")
            problem = OstatokError()
        return Seen(tuple(self._looks), conflicts, dead, problem)

    async def _look(self) -> Look:
        # The ledger first: an end only grows, so no partition seems ahead of its topic.
        stored = {one: offset for one, (offset, _) in (await self._ledger.offsets()).items()}
        held = await self._topic.ranges_async(stored)
        oldest = await self._oldest(stored, held)
        partitions = tuple(
            Standing(one, held[one].earliest, held[one].end, stored[one], oldest.get(one))
            for one in sorted(stored)
        )
        return Look(
            datetime.now(UTC), time.monotonic(), partitions, await self._outcomes(partitions)
        )

    async def _outcomes(self, partitions: tuple[Standing, ...]) -> dict[Outcome, int]:
        if not self._looks:
            return {}
        before = {one.partition: one.next_offset for one in self._looks[-1].partitions}
        bounds = {
            one.partition: (before[one.partition], one.next_offset)
            for one in partitions
            if before.get(one.partition, one.next_offset) < one.next_offset
        }
        if not bounds:
            return {}
        counts = await self._browser.outcomes_between(bounds)
        records = sum(end - first for first, end in bounds.values())
        return {**counts, Outcome.APPLIED: max(0, records - sum(counts.values()))}

    async def _oldest(
        self, stored: Mapping[int, int], held: Mapping[int, Range]
    ) -> dict[int, datetime]:
        """When the first record of each partition that is not applied yet was received."""
        first = {
            one: max(offset, held[one].earliest)
            for one, offset in stored.items()
            if offset < held[one].end
        }
        if not first:
            return {}
        bounds = {one: (offset, offset + 1) for one, offset in first.items()}
        with suppress(JournalError):  # How old it is is not known then, and the lag still is.
            return await asyncio.to_thread(self._received_at, bounds, len(stored))
        return {}

    def _received_at(
        self, bounds: Mapping[int, tuple[int, int]], partitions: int
    ) -> dict[int, datetime]:
        found: dict[int, datetime] = {}
        for chunk in self._records.read(bounds):
            entries, dead = journal.read(chunk, partitions)
            found |= {one.partition: one.received_at for one in entries}
            found |= {one.record.partition: one.received_at for one in dead}
        return found
