"""``ostatok replay``: reads a range of the topic again, beside the workers that apply it.

What has its outcome is compared and left alone; what has none gets one, through the same
:meth:`Ledger.apply`. The workers' group and the ledger's offsets are not touched.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from ostatok import journal
from ostatok.errors import OstatokError
from ostatok.journal import Record, key_of, partition_of
from ostatok.pace import Pace, Say
from ostatok.record_reader import Bounds, RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.auditing import AuditReader
from ostatok_db.batch import Batch, Outcome, bounds_of, slices_of
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger, Replay, check_topic
from ostatok_stream.comparing import Found, Kind, compare, ranges_of

Bound = datetime | Mapping[int, int] | None
"""A time, partition → offset, or the end of what there is."""


class Wanted(msgspec.Struct, frozen=True):
    """What to replay."""

    since: Bound = None
    """Included."""
    until: Bound = None
    """Not included; never beyond what the ledger has applied."""
    inn: str | None = None
    dry_run: bool = False


class Replayed(Found):
    """What a replay did, or would do."""

    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    rest: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    """What is left of each partition, when it was stopped: [first, after)."""


async def replay(settings: Settings, wanted: Wanted, say: Say, stop: asyncio.Event) -> Replayed:
    """Replay what is wanted, saying how far it is, until it is done or told to stop.

    Raises :class:`OstatokError` for a range that the topic does not hold, JournalMismatch for a
    topic that is not the ledger's, and LedgerUnavailable or JournalUnavailable for who is away:
    whatever was done by then is done, and the same can be replayed again.
    """
    topic = Topic(settings)
    reader = await asyncio.to_thread(AuditReader.connect, settings)
    ledger = await Ledger.connect(conninfo(settings, name="replay", writes=True))
    try:
        stored = await ledger.offsets(settings.topic)
        described = await asyncio.to_thread(topic.describe)
        topic_id, _ = check_topic(stored, topic=settings.topic, described=described)
        stands = {partition: offset for partition, (offset, _) in stored.items()}
        records = RecordReader(settings, "replay")
        bounds = await asyncio.to_thread(_bounds, topic, records, wanted, stands)
        if not bounds and (wanted.since or wanted.until or wanted.inn):
            raise OstatokError(
                "Nothing that is applied lies in that range.",
                hint=f"The ledger is at {', '.join(f'{p}:{o}' for p, o in stands.items())}.",
            )
        run = _Run((settings.topic, topic_id, len(stands)), wanted, reader, ledger)
        return await run.over(records, bounds, say, stop)
    finally:
        await ledger.close()
        reader.close()


class _Run:
    """One replay under way."""

    def __init__(
        self, described: tuple[str, str, int], wanted: Wanted, reader: AuditReader, ledger: Ledger
    ) -> None:
        """Work on a topic of that name, id and number of partitions."""
        self._topic, self._topic_id, self._partitions = described
        self._wanted = wanted
        self._reader = reader
        self._ledger = ledger
        self._replayed = Replayed()

    async def over(
        self, records: RecordReader, bounds: Bounds, say: Say, stop: asyncio.Event
    ) -> Replayed:
        """Take what lies within the bounds, a chunk after the other."""
        positions = {partition: first for partition, (first, _) in bounds.items()}
        pace = Pace(sum(after - first for first, after in bounds.values()), say)
        chunks = records.read(bounds)
        try:
            while not stop.is_set():
                chunk = await asyncio.to_thread(next, chunks, None)
                if chunk is None:
                    return self._replayed
                await self._take(chunk, dict(ranges_of(chunk, positions)))
                pace.made(len(chunk))
        finally:
            chunks.close()
        self._replayed.rest = {
            partition: (positions[partition], after)
            for partition, (_, after) in bounds.items()
            if positions[partition] < after
        }
        return self._replayed

    async def _take(self, chunk: Sequence[Record], ranges: Mapping[int, tuple[int, int]]) -> None:
        inn = self._wanted.inn
        if inn is not None:
            chunk = [record for record in chunk if record.key == key_of(inn)]
        found = await asyncio.to_thread(compare, self._reader, chunk, ranges, self._partitions)
        self._replayed.outcomes[Outcome.SEEN] += found.seen
        # Of others' records nothing was read.
        left_out = {Kind.NO_OUTCOME, Kind.NO_RECORD} if inn else {Kind.NO_OUTCOME}
        self._replayed.add(one for one in found.findings if one.kind not in left_out)
        if not found.missing:
            return
        entries, dead = journal.read(found.missing, self._partitions)
        bounds = bounds_of((one.partition, one.offset) for one in found.missing)
        slices = slices_of(entries, dead, bounds)
        batch = Batch(self._topic, self._topic_id, slices)
        how = Replay.DRY_RUN if self._wanted.dry_run else Replay.FOR_GOOD
        applied = await self._ledger.apply(batch, how)
        self._replayed.outcomes.update(applied.counts)


def _bounds(
    topic: Topic, records: RecordReader, wanted: Wanted, stands: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """Say which offsets of which partitions are wanted. Blocks."""
    chosen = set(stands)
    if wanted.inn is not None:
        chosen = {partition_of(wanted.inn, len(stands))}
    for bound in (wanted.since, wanted.until):
        if isinstance(bound, Mapping):
            if unknown := sorted(set(bound) - set(stands)):
                raise OstatokError(
                    f"Topic {topic.name} has no partition {unknown[0]}.",
                    hint=f"There are 0 to {len(stands) - 1}.",
                )
            chosen &= set(bound)
    held = topic.ranges(sorted(chosen))
    first = _offsets(records, wanted.since, dict.fromkeys(chosen, 0), stands)
    after = _offsets(records, wanted.until, {one: stands[one] for one in chosen}, stands)
    bounds: dict[int, tuple[int, int]] = {}
    for partition in sorted(chosen):
        end = min(after[partition], stands[partition])
        if first[partition] >= end:
            continue
        there = held[partition]
        if not there.earliest <= first[partition] or end > there.end:
            raise OstatokError(
                f"Partition {partition} holds offsets {there.earliest} to {there.end}; "
                f"wanted are {first[partition]} to {end}.",
                hint="What is gone can't be replayed. For what is left: "
                + " ".join(f"--from {one}:{held[one].earliest}" for one in sorted(chosen)),
            )
        bounds[partition] = (first[partition], end)
    return bounds


def _offsets(
    records: RecordReader, bound: Bound, default: Mapping[int, int], stands: Mapping[int, int]
) -> dict[int, int]:
    if bound is None:
        return dict(default)
    if isinstance(bound, datetime):
        found = records.offsets_at(default, bound)
        # Nothing of that time or later: the range begins, or ends, behind all there is.
        return {one: stands[one] if offset is None else offset for one, offset in found.items()}
    return {one: bound[one] for one in default}
