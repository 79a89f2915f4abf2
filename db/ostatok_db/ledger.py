"""Writing the ledger. One function, :meth:`Ledger.apply`, serves the stream, replay and rebuild."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Self

import msgspec
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads

from ostatok.errors import (
    JournalMismatch,
    LedgerGap,
    LedgerUnavailable,
    OperationTaken,
    PartitionsChanged,
    RecordRefused,
)
from ostatok.journal import DeadLetter, Entry
from ostatok_db.batch import (
    Applied,
    Batch,
    Outcome,
    Position,
    Repeat,
    Slice,
    buried,
    from_offset,
    halves_of,
    positions_of,
    without,
)
from ostatok_db.connection import mapped_errors
from ostatok_db.queries import queries
from ostatok_db.rows import copy_line, dead_letter_row, repeat_of

TRANSACTION_TIMEOUT_SINCE = 170_000
"""The server version that brought the setting."""

LOCK_SECONDS_MAX = 20
"""How long a statement waits for a lock (VACUUM FULL, LOCK TABLE) before the wait is reported and
begun anew: less than the time after which the watchdog takes it for a hang."""

OVERTAKEN_MAX = 100
"""How often a batch is begun again at once; each time another session committed in between."""


def check_topic(
    stored: Mapping[int, tuple[int, str]], *, topic: str, described: tuple[str, int] | None
) -> tuple[str, int]:
    """See that a topic is the one the ledger was built from, and give its id and partitions.

    ``stored`` is :meth:`Ledger.offsets`, ``described`` what the broker says. Raises
    :class:`JournalMismatch` when the ledger has none of that name, when it is gone or was made
    anew, and when its number of partitions changed: an INN's payments would lie in two of them.
    """
    if not stored:
        raise JournalMismatch(f"The ledger knows no topic {topic}.", hint="Run `ostatok migrate`.")
    if described is None:
        raise JournalMismatch(
            f"There is no topic {topic}, and the ledger was built from one.",
            hint="Restore it, with its id; if it is lost, docs/recovery.md says how to go on.",
        )
    topic_id, partitions = described
    for _, stored_id in stored.values():
        if stored_id != topic_id:
            raise _made_anew(topic, topic_id, stored_id)
    if len(stored) != partitions:
        raise PartitionsChanged(
            f"Topic {topic} has {partitions} partitions, the ledger was built from {len(stored)}.",
            hint="Their number can't change: an INN would lie in two of them. Copy the journal "
            "into a new topic and start a new ledger from it.",
        )
    return described


def _made_anew(topic: str, topic_id: str, stored_id: str) -> JournalMismatch:
    return JournalMismatch(
        f"Topic {topic} was made anew (id {topic_id}, the ledger's is {stored_id}): "
        "the ledger's offsets mean nothing in it.",
        hint="Restore the old topic; if it is lost, docs/recovery.md says how to go on with this "
        "one and lose no payment that the ledger has.",
    )


class Replay(Enum):
    """How :meth:`Ledger.apply` takes a batch that lies behind the ledger's offsets."""

    DRY_RUN = "dry run"
    """Say what would be done, and roll it back."""
    FOR_GOOD = "for good"


class Ledger:
    """A connection that applies batches to the ledger its search_path shows."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, conninfo: str) -> Self:
        """Open a connection of its own. Raises :class:`LedgerUnavailable`."""
        with mapped_errors():
            connection = await psycopg.AsyncConnection.connect(conninfo)
            set_json_loads(msgspec.json.decode, connection)
            if connection.info.server_version >= TRANSACTION_TIMEOUT_SINCE:
                await connection.execute(queries["limit_transactions"])
            await connection.execute(queries["plan_for_batches"])
            milliseconds = f"{LOCK_SECONDS_MAX * 1000:.0f}"
            await connection.execute(queries["limit_locks"], {"milliseconds": milliseconds})
            await connection.execute(queries["make_staging"])
            await connection.commit()
        return cls(connection)

    async def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        await self._connection.close()

    async def offsets(self, topic: str) -> dict[int, tuple[int, str]]:
        """Where the ledger stands: partition → (next offset, id of the topic)."""
        with mapped_errors():
            async with self._connection.transaction():
                cursor = await self._connection.execute(queries["read_offsets"], {"topic": topic})
                return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}

    async def apply(self, batch: Batch, replay: Replay | None = None) -> Applied:
        """Give every record of the batch its outcome, in one transaction with the offsets.

        What lies behind the ledger's offsets is ``seen`` and skipped, so a batch may be applied
        again after any failure. Raises, with nothing written: :class:`LedgerUnavailable` (do the
        same again later), :class:`LedgerGap` (a slice begins after the ledger's offset),
        :class:`JournalMismatch` (another topic), :class:`LedgerCorrupt`.

        When the database refuses a record for itself, the batch is halved until that record
        stands alone; it becomes a dead letter, and all others get the outcome they would have had.

        A ``replay`` gives outcomes to the records that have none *behind* the ledger's offsets, and
        moves no offset; whatever has one is ``seen``.
        """
        try:
            return await self._apply_unless_overtaken(batch, replay)
        except RecordRefused as refused:
            halves = halves_of(batch)
            if halves is None:
                return await self._apply_unless_overtaken(buried(batch, str(refused)), replay)
            first, second = [await self.apply(half, replay) for half in halves]
            return first.and_then(second)

    async def _apply_unless_overtaken(self, batch: Batch, replay: Replay | None) -> Applied:
        """Begin again when another session recorded one of the operations first: it is seen then.

        One operation comes to two sessions when it came with two INNs.
        """
        for _ in range(OVERTAKEN_MAX):
            with suppress(OperationTaken):
                return await self._apply(batch, replay)
        raise LedgerUnavailable("Another session records the same operations, again and again.")

    async def _apply(self, batch: Batch, replay: Replay | None) -> Applied:
        with mapped_errors():
            dry_run = replay is Replay.DRY_RUN
            async with (
                self._connection.transaction(force_rollback=dry_run),
                self._connection.cursor() as cursor,
            ):
                stands = await self._lock(cursor, batch)
                if replay:
                    slices, others = await self._without_outcome(cursor, batch, stands)
                else:
                    slices, others = _past_the_fence(batch, stands)
                entries = [entry for one in slices for entry in one.entries]
                dead = [letter for one in slices for letter in one.dead]
                repeats: list[Repeat] = []
                if entries:
                    repeats = await self._apply_entries(cursor, batch.topic, entries, others)
                for letter in dead:
                    await cursor.execute(
                        queries["record_dead_letter"], dead_letter_row(batch.topic, letter)
                    )
                    others[letter.record.partition, letter.record.offset] = Outcome.DEAD
                if replay:
                    await self._mark_replayed(cursor, batch.topic, entries, dead)
                elif slices:
                    await cursor.execute(
                        queries["advance_offsets"],
                        {
                            "topic": batch.topic,
                            "partitions": [one.partition for one in slices],
                            "next_offsets": [one.next_offset for one in slices],
                        },
                    )
        counts = Counter(others.values())
        counts[Outcome.APPLIED] = batch.records - counts.total()
        return Applied(counts, others, repeats)

    async def _lock(self, cursor: psycopg.AsyncCursor[TupleRow], batch: Batch) -> dict[int, int]:
        """Lock where the ledger stands, and say where that is."""
        partitions = sorted(one.partition for one in batch.slices)
        await cursor.execute(
            queries["lock_offsets"], {"topic": batch.topic, "partitions": partitions}
        )
        stands: dict[int, int] = {}
        for partition, next_offset, topic_id in await cursor.fetchall():
            if topic_id != batch.topic_id:
                raise _made_anew(batch.topic, batch.topic_id, topic_id)
            stands[partition] = next_offset
        for partition in partitions:
            if partition not in stands:
                raise JournalMismatch(
                    f"The ledger knows no partition {partition} of topic {batch.topic}.",
                    hint="Run `ostatok migrate`.",
                )
        return stands

    async def _without_outcome(
        self, cursor: psycopg.AsyncCursor[TupleRow], batch: Batch, stands: Mapping[int, int]
    ) -> tuple[list[Slice], dict[Position, Outcome]]:
        """Leave what has no outcome of what lies behind the ledger's offsets."""
        positions = [position for one in batch.slices for position in positions_of(one)]
        for partition, offset in positions:
            if offset >= stands[partition]:
                raise LedgerGap(f"The ledger has not come to {partition}:{offset}.")
        partitions, offsets = zip(*positions, strict=True)
        await cursor.execute(
            queries["read_recorded"],
            {"topic": batch.topic, "partitions": list(partitions), "offsets": list(offsets)},
        )
        recorded = set(await cursor.fetchall())
        slices = [without(one, recorded) for one in batch.slices]
        return slices, dict.fromkeys(recorded, Outcome.SEEN)

    async def _mark_replayed(
        self,
        cursor: psycopg.AsyncCursor[TupleRow],
        topic: str,
        entries: Sequence[Entry],
        dead: Sequence[DeadLetter],
    ) -> None:
        marks: list[tuple[int, int, str | None]] = [
            (one.partition, one.offset, one.payment.inn) for one in entries
        ]
        marks += [(one.record.partition, one.record.offset, None) for one in dead]
        if marks:
            partitions, offsets, inns = (list(column) for column in zip(*marks, strict=True))
            await cursor.execute(
                queries["record_replayed"],
                {"topic": topic, "partitions": partitions, "offsets": offsets, "inns": inns},
            )

    async def _apply_entries(
        self,
        cursor: psycopg.AsyncCursor[TupleRow],
        topic: str,
        entries: Sequence[Entry],
        others: dict[Position, Outcome],
    ) -> list[Repeat]:
        async with cursor.copy(queries["copy_incoming"]) as copy:
            await copy.write("".join(map(copy_line, entries)))
        await cursor.execute(queries["apply_incoming"], {"topic": topic})
        applied = await cursor.fetchall()
        if sum(count for _, count, _ in applied) == len(entries):
            return []
        await cursor.execute(queries["record_repeats"], {"topic": topic})
        repeats = [repeat_of(row) for row in await cursor.fetchall()]
        now = {(partition, offset) for partition, _, offsets in applied for offset in offsets}
        fresh = {(one.partition, one.offset): one.outcome for one in repeats}
        for entry in entries:
            position = (entry.partition, entry.offset)
            if position not in now:
                others[position] = fresh.get(position, Outcome.SEEN)
        return repeats


def _past_the_fence(
    batch: Batch, stands: Mapping[int, int]
) -> tuple[list[Slice], dict[Position, Outcome]]:
    """Cut off what lies behind the ledger's offsets."""
    ahead: list[Slice] = []
    seen: dict[Position, Outcome] = {}
    for one in batch.slices:
        stands_at = stands[one.partition]
        if one.first_offset > stands_at:
            raise LedgerGap(
                f"Partition {one.partition} is applied up to {stands_at}, "
                f"the batch begins at {one.first_offset}."
            )
        for partition, offset in positions_of(one):
            if offset < stands_at:
                seen[partition, offset] = Outcome.SEEN
        if one.next_offset > stands_at:
            ahead.append(from_offset(one, stands_at))
    return ahead, seen
