"""``ostatok topic backup`` and ``restore``: from the topic to a folder, and back."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from ostatok.errors import JournalMismatch, OstatokError
from ostatok.journal import Record
from ostatok.pace import Pace, Say
from ostatok.record_reader import RecordReader
from ostatok.record_writer import Draft, RowWriter
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok.topic import Range, Topic
from ostatok.topic_copy import Described, Piece, TopicCopy

PIECE_RECORDS_MAX = 100_000
"""Records of one file at the most: what a backup that was stopped does again."""

UNREADABLE = ("ostatok-format", b"unreadable headers")
"""The header of a restored record whose headers could not be read: so that it stays a dead one."""


class Copied(msgspec.Struct, frozen=True):
    """What a backup or a restore came to."""

    records: int
    """How many it wrote now."""
    ends: dict[int, int]
    """Partition → the offset behind the last that is there now."""
    moved: bool = False
    """Of a restore: records lie at other offsets than before, for the topic had skipped some."""


class Backup:
    """Adds to a folder what the topic has and the folder has not."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Compare the two. Raises OstatokError when the folder is another topic's."""
        self._settings = settings
        topic = Topic(settings)
        described = topic.describe()
        if described is None:
            raise OstatokError(f"There is no topic {topic.name}.")
        self._copy = TopicCopy.of(folder, Described(topic.name, *described))
        partitions = range(described[1])
        # What comes meanwhile is the next backup's.
        held = topic.ranges(partitions)
        self._bounds = {one: _missing(self._copy, one, held[one]) for one in partitions}

    def run(self, say: Say) -> Copied:
        """Write. What is written is whole after every end, and the next one goes on there."""
        pace = Pace(sum(after - first for first, after in self._bounds.values()), say)
        self._records = 0
        with self._copy.locked():
            for partition, (first, after) in self._bounds.items():
                pieces = self._copy.pieces(partition)
                if pieces and pieces[-1].after != first:
                    raise OstatokError("Somebody else has written to the copy meanwhile.")
                for begin in range(first, after, PIECE_RECORDS_MAX):
                    end = min(begin + PIECE_RECORDS_MAX, after)
                    self._copy.add(partition, begin, end, self._read(partition, begin, end, pace))
            ends = {one: after for one, (_, after) in self._bounds.items()}
            self._copy.note_ends(ends)
        return Copied(self._records, ends)

    def _read(self, partition: int, first: int, after: int, pace: Pace) -> Iterator[Record]:
        """Give records as they come: a piece of them may be larger than the memory."""
        chunks = RecordReader(self._settings, "backup").read({partition: (first, after)})
        with closing(chunks):
            for chunk in chunks:
                yield from chunk
                self._records += len(chunk)
                pace.made(len(chunk))


class Restore:
    """Writes what a folder holds into a topic that is empty, or that an earlier one left undone."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Look at both, and make the topic when there is none.

        Raises OstatokError when the copy lacks anything, and JournalMismatch when the topic holds
        something else.
        """
        self._settings = settings
        self._copy = TopicCopy.open(folder)
        many = self._copy.described.partitions
        self._pieces = {one: self._copy.pieces(one) for one in range(many)}
        for partition, pieces in self._pieces.items():
            if pieces and pieces[0].first > 0:
                raise OstatokError(
                    f"The copy lacks the beginning: partition {partition} begins at "
                    f"{pieces[0].first}.",
                    hint="`ostatok reseed` writes the payments that a ledger has.",
                )
        for partition, end in self._copy.ends().items():
            if _end(self._pieces[partition]) < end:
                raise OstatokError(
                    f"The copy lacks the end of partition {partition}: it was at {end}, and its "
                    f"last file ends at {_end(self._pieces[partition])}.",
                    hint="Copy the folder again. If the file is gone for good, delete ends.json; "
                    "`ostatok reseed` writes what the ledger has of the rest.",
                )
        topic, (_, partitions) = made_for_old_records(settings, many)
        if partitions != many:
            raise JournalMismatch(
                f"Topic {topic.name} has {partitions} partitions, the copy has {many}.",
                hint=f"Restore into a topic with as many; {PREFIX}TOPIC names it.",
            )
        self._held = topic.ranges(range(many))
        for partition, held in self._held.items():
            if held.earliest > 0 or held.end > _end(self._pieces[partition]):
                raise self._not_the_copy(partition)
        self._moved = False

    def run(self, say: Say) -> Copied:
        """Write, each record as it was."""
        left = sum(_end(self._pieces[one]) - held.end for one, held in self._held.items())
        pace = Pace(left, say)
        records = RowWriter(self._settings).write_all(
            draft for partition in self._pieces for draft in self._drafts(partition, pace)
        )
        held = Topic(self._settings).ranges(self._held)
        return Copied(records, {one: there.end for one, there in held.items()}, self._moved)

    def _drafts(self, partition: int, pace: Pace) -> Iterator[Draft]:
        there = self._held[partition]
        number = -1
        for number, record in enumerate(self._records(partition, self._pieces[partition])):
            if number == there.end - 1:
                self._require_same(record, number)
            if number < there.end:
                continue
            self._moved |= record.offset != number
            yield _draft(record)
            pace.made(1)
        if there.end > number + 1:
            raise self._not_the_copy(partition)

    def _records(self, partition: int, pieces: list[Piece]) -> Iterator[Record]:
        for piece in pieces:
            yield from self._copy.read(partition, piece)

    def _require_same(self, record: Record, offset: int) -> None:
        """See that the last record that the topic holds is the copy's."""
        reader = RecordReader(self._settings, "restore")
        found = reader.read_all({record.partition: (offset, offset + 1)})
        # A time that nobody gave is the time of its writing.
        if not found or not (
            (found[0].key, found[0].value) == (record.key, record.value)
            and (record.timestamp_ms <= 0 or found[0].timestamp_ms == record.timestamp_ms)
        ):
            raise self._not_the_copy(record.partition)

    def _not_the_copy(self, partition: int) -> JournalMismatch:
        return JournalMismatch(
            f"Partition {partition} of topic {self._settings.topic} holds other records than "
            "the copy.",
            hint=f"Restore into an empty topic; {PREFIX}TOPIC names it.",
        )


def made_for_old_records(settings: Settings, partitions: int) -> tuple[Topic, tuple[str, int]]:
    """Make the topic, or see that it keeps everything: retention would cut old records at once.

    Gives it with its id and its number of partitions.
    """
    topic = Topic(
        settings.model_copy(update={"topic_partitions": partitions, "topic_retention_ms": -1})
    )
    try:
        return topic, topic.ensure()
    except JournalMismatch as error:
        raise JournalMismatch(
            str(error),
            hint="Its records will have their old times: give it retention.ms=-1 while they are "
            "written, and set it back once the ledger has them.",
        ) from error


def _end(pieces: Sequence[Piece]) -> int:
    return pieces[-1].after if pieces else 0


def _missing(copy: TopicCopy, partition: int, held: Range) -> tuple[int, int]:
    """Say which offsets a folder lacks."""
    pieces = copy.pieces(partition)
    first = pieces[-1].after if pieces else held.earliest
    if held.earliest > first:
        raise OstatokError(
            f"Partition {partition} holds nothing before {held.earliest} any more, and the copy "
            f"ends at {first}.",
            hint="Begin a copy in a new folder, keep this one, and back up more often than "
            f"{PREFIX}TOPIC_RETENTION_MS.",
        )
    if held.end < first:
        raise OstatokError(
            f"Partition {partition} ends at {held.end}, and the copy at {first}: the topic lost "
            "its end.",
            hint="docs/recovery.md says how to make it anew from the copy.",
        )
    return first, held.end


def _draft(record: Record) -> Draft:
    headers = (UNREADABLE,) if record.headers is None else record.headers
    timestamp = record.timestamp_ms if record.timestamp_ms > 0 else None
    return Draft(record.key, record.value, headers, record.partition, timestamp)
