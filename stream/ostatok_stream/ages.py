"""How old payments are: when they are committed, and while they wait to be applied."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import accumulate
from math import inf
from typing import NamedTuple, Protocol

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ostatok import journal
from ostatok.errors import JournalUnavailable
from ostatok.record_reader import Bounds
from ostatok.topic import Range
from ostatok_db.batch import Applied, Batch, Outcome

LOOKED_AT_MAX = 250
"""Payments of a batch whose age is computed, at the most: each of them costs 0.6 µs. Of more, every
n-th stands for those behind it, which lay beside it in the journal."""

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, inf)

READ_SECONDS_MAX = 3.0
"""How long records are read, however slowly they come. The next look reads the rest."""
LOOK_SECONDS_MAX = 5.0
"""How long a look waits for them, whatever holds the reader up: the watchdog waits for the look."""

log = structlog.get_logger()


class CommittedAges(Collector):
    """A histogram of the time from a webhook's ``received-at`` to its committed transaction."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._counts = [0] * len(SECONDS)
        self._sum = 0.0

    def observe(self, batch: Batch, applied: Applied) -> None:
        """Count the payments of a batch that was committed just now, but those seen before."""
        now = datetime.now(UTC)
        some_seen = bool(applied.counts.get(Outcome.SEEN))
        step = 1 if some_seen else 1 + batch.records // LOOKED_AT_MAX
        for one in batch.slices:
            for at in range(0, len(one.entries), step):
                entry = one.entries[at]
                if some_seen and (
                    applied.outcome_of(entry.partition, entry.offset) is Outcome.SEEN
                ):
                    continue
                # Whose clock is ahead of ours would have ages below 0.
                age = max((now - entry.received_at).total_seconds(), 0.0)
                many = min(step, len(one.entries) - at)
                self._counts[bisect_left(SECONDS, age)] += many
                self._sum += age * many

    def collect(self) -> Iterable[Metric]:
        """Show it."""
        bounds = map(floatToGoString, SECONDS)
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets, sum_value=self._sum
        )


class _Wait(NamedTuple):
    """A partition's oldest record that is not applied."""

    offset: int
    since: float
    """Seconds of the Unix epoch."""
    is_read: bool
    """False when that is only when we saw that something waits, and the record is older."""


class RecordSource(Protocol):
    """The topic's records: :class:`ostatok.record_reader.RecordReader`."""

    def firsts(self, bounds: Bounds, seconds_max: float) -> dict[int, journal.Record]:
        """Give the first record of each range that came in time, by partition. Blocks.

        Raises :class:`ostatok.errors.JournalUnavailable`.
        """
        ...


class OldestUnapplied(Collector):
    """The age of each partition's oldest record that is not applied, as it is when asked for.

    So it goes on growing while a partition stands still, and while nobody can be asked.
    """

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._waits: dict[int, _Wait | None] = {}
        self._ends: dict[int, int] = {}
        # A thread of its own: a read that hangs takes none from what the worker needs.
        self._thread = ThreadPoolExecutor(1, "oldest")

    async def look(
        self, applied: Mapping[int, int], held: Mapping[int, Range], records: RecordSource
    ) -> None:
        """Find out since when each partition waits.

        ``applied`` is the next offset to apply, ``held`` what the topic holds. The record is read
        when it was there at the last look already, and once: of a partition that keeps up nothing
        is ever read, and the age is right to the time between two looks.
        """
        now = time.time()
        ends_before, self._ends = self._ends, {one: held[one].end for one in applied}
        before, self._waits = self._waits, {}
        unread: dict[int, tuple[int, int]] = {}
        for partition, offset in applied.items():
            end = self._ends[partition]
            wait = before.get(partition)
            if wait is None or wait.offset != offset:
                wait = _Wait(offset, now, is_read=False)
            self._waits[partition] = wait if offset < end else None
            if offset < end and not wait.is_read and offset < ends_before.get(partition, end):
                unread[partition] = (offset, end)
        if unread:
            await self._read(unread, records)

    def moved(self, partition: int, next_offset: int) -> None:
        """Note that a partition is applied up to there: maybe nothing we know of waits any more."""
        if partition in self._ends and next_offset >= self._ends[partition]:
            self._waits[partition] = None

    def forget(self) -> None:
        """Show nothing: the partitions are not ours, or it is not known where they stand."""
        self._waits, self._ends = {}, {}

    def collect(self) -> Iterable[Metric]:
        """Show it."""
        now = time.time()
        family = GaugeMetricFamily(self._name, self._documentation, labels=["partition"])
        for partition, wait in sorted(self._waits.items()):
            age = 0.0 if wait is None else max(now - wait.since, 0.0)
            family.add_metric([str(partition)], age)
        yield family

    async def _read(self, unread: Mapping[int, tuple[int, int]], records: RecordSource) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                found = await loop.run_in_executor(
                    self._thread, records.firsts, unread, READ_SECONDS_MAX
                )
        except JournalUnavailable as error:
            log.info("oldest_unread", reason=str(error))
            return
        except TimeoutError:
            log.info("oldest_unread", reason=f"Not read within {LOOK_SECONDS_MAX:g} s.")
            return
        for partition, record in found.items():
            wait = self._waits.get(partition)
            if wait is not None:  # Else it was applied while it was read.
                since = _received_at(record).timestamp()
                self._waits[partition] = wait._replace(since=since, is_read=True)


def _received_at(record: journal.Record) -> datetime:
    entries, dead = journal.read([record], partitions=1)
    one: Sequence[journal.Entry | journal.DeadLetter] = [*entries, *dead]
    return one[0].received_at
