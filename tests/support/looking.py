"""What stands for topic and ledger where the console's overview looks at them."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, cast

from ostatok.journal import Record, headers_of
from ostatok.topic import Range
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser, Ranking
from ostatok_db.pool import Pool
from ostatok_db.reading import Undecided
from ostatok_http.console.live import Live
from ostatok_http.journal_check import JournalCheck
from support.payments import PARTITIONS, TOPIC_ID, document, record
from support.webhooks import EmptyLedger, NoRecords, TheTopic

AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Stands(EmptyLedger):
    """A ledger that stands where it is told, having been built from that topic."""

    def __init__(self, *next_offsets: int, topic_id: str = TOPIC_ID) -> None:
        self.next_offsets = next_offsets
        self.topic_id = topic_id
        self.pool: Pool | None = None

    async def open(self) -> None:
        """Open what else is read from a database, if there is one."""
        if self.pool is not None:
            await self.pool.open()

    async def close(self) -> None:
        """Close it."""
        if self.pool is not None:
            await self.pool.close()

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Stand there."""
        return {one: (offset, self.topic_id) for one, offset in enumerate(self.next_offsets)}


class Holding(TheTopic):
    """A topic that holds what it is told, of each partition the same."""

    def __init__(self, end: int, earliest: int = 0, topic_id: str = TOPIC_ID) -> None:
        self.range = Range(earliest, end)
        self.topic_id = topic_id

    async def describe_async(self) -> tuple[str, int] | None:
        """Be that one."""
        return self.topic_id, PARTITIONS

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Hold it."""
        return dict.fromkeys(partitions, self.range)


class Waiting(NoRecords):
    """A topic whose records were all received an hour before AT, and which counts the reading."""

    def __init__(self, received_at: datetime = AT - timedelta(hours=1)) -> None:
        self.headers = headers_of(source=None, received_at=received_at, request_id=None)
        self.asked: list[dict[int, tuple[int, int]]] = []

    def firsts(self, bounds: Mapping[int, tuple[int, int]]) -> dict[int, Record]:
        """Give them."""
        self.asked.append(dict(bounds))
        return {
            one: record(document(), first, partition=one, headers=self.headers)
            for one, (first, _) in bounds.items()
        }


class Nothing:
    """A ledger's rows of which none are there, and the finding that all is well."""

    error: Exception | None = None

    async def conflicts(self, _limit: int) -> list[Any]:
        """Have none."""
        return []

    async def latest_dead(self, _limit: int) -> list[Any]:
        """Have none."""
        return []

    async def outcomes_between(self, _bounds: Mapping[int, tuple[int, int]]) -> dict[Outcome, int]:
        """Count one duplicate, or fail."""
        if self.error is not None:
            raise self.error
        return {Outcome.DUPLICATE: 1}

    def require_match(self) -> None:
        """Match."""


class Frozen(Stands):
    """A database that answers nothing, and a cancellation only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.may_end = asyncio.Event()

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Freeze."""
        return await self.freeze()

    async def ranking(self) -> Ranking:
        """Freeze."""
        return await self.freeze()

    async def undecided_dead_letters(self) -> Undecided:
        """Freeze."""
        return await self.freeze()

    async def freeze(self) -> NoReturn:
        """Give up some time after it was asked to."""
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_end.wait()
        raise AssertionError


def live_of(
    ledger: EmptyLedger, topic: TheTopic, rows: Nothing, check: Nothing | None = None
) -> Live:
    """Give a look at fakes."""
    browser, checking = cast("Browser", rows), cast("JournalCheck", check or rows)
    return Live(ledger, topic, Waiting(), browser, checking)
