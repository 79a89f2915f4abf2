"""What the ledger is given and what it gives back: slices of a topic, and outcomes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from ostatok.journal import DeadLetter, Entry
from ostatok.sources import REDRIVE

Position = tuple[int, int]
"""(partition, offset)"""


class Outcome(StrEnum):
    """What became of a record. Every record of the topic has exactly one of the first four."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    DEAD = "dead"
    SEEN = "seen"
    """Read again; it has its outcome, and nothing was written."""


class Slice(msgspec.Struct, frozen=True):
    """The records of one partition in ``[first_offset, next_offset)``, each an entry or dead.

    The bounds are the reader's positions, not the records' offsets: a topic may skip offsets.
    """

    partition: int
    first_offset: int
    next_offset: int
    entries: Sequence[Entry]
    dead: Sequence[DeadLetter] = ()


class Batch(msgspec.Struct, frozen=True):
    """What one transaction applies: at most one slice of each partition."""

    topic: str
    topic_id: str
    slices: Sequence[Slice]

    @property
    def records(self) -> int:
        """How many records it has."""
        return sum(_records_of(one) for one in self.slices)


class Repeat(msgspec.Struct, frozen=True):
    """A duplicate or a conflict, as it was recorded."""

    partition: int
    offset: int
    outcome: Outcome
    operation_id: str
    inn: str
    request_id: str | None
    differences: Mapping[str, Mapping[str, str]] | None
    source: str | None
    """Who sent it."""
    winner_source: str | None
    """Of a conflict: who sent the record that won the operation."""

    @property
    def is_between_sources(self) -> bool:
        """Whether it is a conflict of two senders: one may have taken the other's operation."""
        senders = {self.source, self.winner_source} - {None, REDRIVE}
        return self.outcome is Outcome.CONFLICT and len(senders) == 2


class Applied(msgspec.Struct, frozen=True):
    """What :meth:`Ledger.apply` did, once it is committed."""

    counts: Mapping[Outcome, int]
    others: Mapping[Position, Outcome]
    """The outcome of every record of the batch that is not ``applied``."""
    repeats: Sequence[Repeat]

    def and_then(self, other: "Applied") -> "Applied":
        """This and what was applied after it."""
        return Applied(
            Counter(self.counts) + Counter(other.counts),
            {**self.others, **other.others},
            [*self.repeats, *other.repeats],
        )

    def outcome_of(self, partition: int, offset: int) -> Outcome:
        """The outcome of a record of the batch."""
        return self.others.get((partition, offset), Outcome.APPLIED)


def positions_of(one: Slice) -> Iterator[Position]:
    """Where the records of a slice lie."""
    for entry in one.entries:
        yield entry.partition, entry.offset
    for letter in one.dead:
        yield letter.record.partition, letter.record.offset


def bounds_of(positions: Iterable[Position]) -> dict[int, tuple[int, int]]:
    """The shortest range of each partition that its positions lie in: [first, after)."""
    bounds: dict[int, tuple[int, int]] = {}
    for partition, offset in positions:
        first, after = bounds.get(partition, (offset, offset))
        bounds[partition] = (min(first, offset), max(after, offset + 1))
    return bounds


def from_offset(one: Slice, offset: int) -> Slice:
    """The part of a slice that is not behind ``offset``."""
    if one.first_offset == offset:
        return one
    return Slice(
        one.partition,
        offset,
        one.next_offset,
        [entry for entry in one.entries if entry.offset >= offset],
        [letter for letter in one.dead if letter.record.offset >= offset],
    )


def without(one: Slice, positions: Collection[Position]) -> Slice:
    """A slice less the records at some positions."""
    return Slice(
        one.partition,
        one.first_offset,
        one.next_offset,
        [entry for entry in one.entries if (entry.partition, entry.offset) not in positions],
        [
            letter
            for letter in one.dead
            if (letter.record.partition, letter.record.offset) not in positions
        ],
    )


def slices_of(
    entries: Iterable[Entry], dead: Iterable[DeadLetter], bounds: Mapping[int, tuple[int, int]]
) -> list[Slice]:
    """Sort records into a slice for each partition of ``bounds``: partition → (first, next)."""
    entries_of: dict[int, list[Entry]] = {partition: [] for partition in bounds}
    dead_of: dict[int, list[DeadLetter]] = {partition: [] for partition in bounds}
    for entry in entries:
        entries_of[entry.partition].append(entry)
    for letter in dead:
        dead_of[letter.record.partition].append(letter)
    return [
        Slice(partition, first, after, entries_of[partition], dead_of[partition])
        for partition, (first, after) in bounds.items()
    ]


def shares_of(slices: Sequence[Slice], many: int) -> list[Sequence[Slice]]:
    """Deal slices out to at most ``many`` that are applied side by side, each about as long."""
    shares: list[list[Slice]] = [[] for _ in range(many)]
    loads = [0] * many
    for one in sorted(slices, key=_records_of, reverse=True):
        lightest = loads.index(min(loads))
        shares[lightest].append(one)
        loads[lightest] += _records_of(one)
    return [share for share in shares if share]


def pieces_of(batch: Batch, records_max: int) -> Iterator[Batch]:
    """Cut a batch into pieces of at most so many records, to be applied one after the other."""
    halves = halves_of(batch) if batch.records > records_max else None
    if halves is None:
        yield batch
        return
    for half in halves:
        yield from pieces_of(half, records_max)


def halves_of(batch: Batch) -> tuple[Batch, Batch] | None:
    """Cut a batch in two that can be applied one after the other; None when it is one record."""
    if len(batch.slices) > 1:
        middle = len(batch.slices) // 2
        parts = (batch.slices[:middle], batch.slices[middle:])
    else:
        (one,) = batch.slices
        offsets = sorted(offset for _, offset in positions_of(one))
        if len(offsets) < 2:
            return None
        cut = offsets[len(offsets) // 2]
        parts = ([_up_to(one, cut)], [from_offset(one, cut)])
    first, second = (Batch(batch.topic, batch.topic_id, part) for part in parts)
    return first, second


def _records_of(one: Slice) -> int:
    return len(one.entries) + len(one.dead)


def buried(batch: Batch, reason: str) -> Batch:
    """The batch of one record, that record dead."""
    (one,) = batch.slices
    letters = [
        DeadLetter(entry.record, reason, entry.received_at, entry.request_id)
        for entry in one.entries
    ]
    dead = Slice(one.partition, one.first_offset, one.next_offset, [], [*one.dead, *letters])
    return Batch(batch.topic, batch.topic_id, [dead])


def _up_to(one: Slice, offset: int) -> Slice:
    """The part of a slice that is behind ``offset``."""
    return Slice(
        one.partition,
        one.first_offset,
        offset,
        [entry for entry in one.entries if entry.offset < offset],
        [letter for letter in one.dead if letter.record.offset < offset],
    )
