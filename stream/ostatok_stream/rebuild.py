"""``ostatok rebuild``: makes the ledger anew from the first offset, beside the live one.

In a schema of its own, while the live one goes on. The two are compared, and the second may be put
in the place of the live one.
"""

import asyncio
from collections.abc import Generator, Mapping, Set
from contextlib import closing
from typing import NamedTuple, Self

import msgspec

from ostatok import journal
from ostatok.errors import JournalMismatch, LedgerError
from ostatok.journal import DeadLetter, Entry, Record
from ostatok.record_reader import Bounds, RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.batch import Batch, Position, bounds_of, pieces_of, shares_of, slices_of
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger, Replay, check_topic
from ostatok_db.migrate import adopt_topic, migrate
from ostatok_db.second import Difference, Pair
from ostatok_stream.comparing import ranges_of
from ostatok_stream.pace import Pace, Say

BEHIND_RECORDS_MAX = 5_000
"""How far behind the second ledger may be when a swap begins: it catches up under the locks."""

ROUNDS_MAX = 100
SWAPS_MAX = 10

CATCH_UP_SECONDS_MAX = 20
"""How long a swap may hold its locks: workers and reads wait for them."""


class Rebuilt(msgspec.Struct):
    """What a rebuild came to."""

    offsets: dict[int, int]
    """Partition → how far the second ledger is."""
    differences: list[Difference]
    swapped: bool = False
    finished: bool = True
    """False: it was told to stop; the next one goes on."""


class Wanted(msgspec.Struct, frozen=True):
    """What to do besides building and comparing."""

    swap: bool = False
    keep: bool = False
    """With ``swap``: keep what was live, in a schema of its own."""
    fresh: bool = False
    """Begin at the first offset, even when an earlier rebuild came further."""


async def rebuild(settings: Settings, wanted: Wanted, say: Say, stop: asyncio.Event) -> Rebuilt:
    """Build, compare, and swap if that is wanted, saying how far it is.

    Raises :class:`JournalMismatch` when the topic is not the ledger's or lacks its beginning,
    LedgerError when a swap is not possible, and LedgerUnavailable or JournalUnavailable for who is
    away: the next rebuild goes on where this one was.
    """
    topic = Topic(settings)
    pair = await asyncio.to_thread(Pair.connect, settings)
    try:
        if wanted.swap:
            await asyncio.to_thread(pair.require_no_before)
        described = await asyncio.to_thread(_check, pair, topic)
        if wanted.fresh:
            await asyncio.to_thread(pair.drop, pair.second)
        second = settings.model_copy(update={"database_schema": pair.second})
        await asyncio.to_thread(migrate, second)
        await asyncio.to_thread(adopt_topic, second, topic_id=described[0], partitions=described[1])
        async with _Builder(second, described) as builder:
            return await _build(pair, builder, wanted, say, stop)
    finally:
        pair.close()


async def _build(
    pair: Pair, builder: "_Builder", wanted: Wanted, say: Say, stop: asyncio.Event
) -> Rebuilt:
    for _ in range(ROUNDS_MAX):
        live, second = await asyncio.to_thread(pair.offsets)
        behind = sum(live.values()) - sum(second.values())
        if behind <= (BEHIND_RECORDS_MAX if wanted.swap else 0):
            break
        bounds = {one: (second[one], live[one]) for one in live}
        if not await builder.over(bounds, pair, Pace(behind, say), stop):
            return Rebuilt(second, [], finished=False)
        if not wanted.swap:
            break
    await builder.settle(pair)
    say("comparing with the live ledger")
    differences = await asyncio.to_thread(pair.differences)
    _, second = await asyncio.to_thread(pair.offsets)
    swapped = wanted.swap and await _swap(pair, builder, wanted, say)
    return Rebuilt(second, differences, swapped)


async def _swap(pair: Pair, builder: "_Builder", wanted: Wanted, say: Say) -> bool:
    loop = asyncio.get_running_loop()

    def catch_up(live: Mapping[int, int]) -> None:
        _, second = pair.offsets()
        behind = sum(live.values()) - sum(second.values())
        if behind > 4 * BEHIND_RECORDS_MAX:
            raise LedgerError(f"The second ledger is {behind} records behind the live one.")
        bounds = {one: (second[one], live[one]) for one in live}
        work = builder.catch_up(bounds, pair, Pace(behind, say))
        asyncio.run_coroutine_threadsafe(work, loop).result()

    for _ in range(SWAPS_MAX):
        if await asyncio.to_thread(pair.swap, catch_up):
            if not wanted.keep:
                await asyncio.to_thread(pair.drop, pair.before)
            return True
        say("the ledger is in use; once more")
    raise LedgerError("The ledger could not be locked: long transactions are under way.")


def _check(pair: Pair, topic: Topic) -> tuple[str, int]:
    """See that the topic is the ledger's, and whole."""
    stored = pair.stored()
    described = check_topic(stored, topic=topic.name, described=topic.describe())
    cut = {one: held.earliest for one, held in topic.ranges(stored).items() if held.earliest > 0}
    if cut:
        first = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(cut.items()))
        raise JournalMismatch(
            f"Topic {topic.name} lacks its beginning: what is left begins at {first}.",
            hint="A ledger made of the rest would lack the payments before. Audit what is there.",
        )
    return described


class _Some(NamedTuple):
    """Records that are applied together."""

    entries: list[Entry]
    dead: list[DeadLetter]
    bounds: dict[int, tuple[int, int]]


class _Builder:
    """Reads the topic into the second ledger, in transactions side by side as a worker does."""

    def __init__(self, settings: Settings, described: tuple[str, int]) -> None:
        self._settings = settings
        self._topic_id, self._partitions = described
        self._ledgers: list[Ledger] = []

    async def __aenter__(self) -> Self:
        target = conninfo(self._settings, name="rebuild", writes=True)
        for _ in range(self._settings.stream_connections):
            self._ledgers.append(await Ledger.connect(target))
        return self

    async def __aexit__(self, *_: object) -> None:
        for ledger in self._ledgers:
            await ledger.close()

    async def over(self, bounds: Bounds, pair: Pair, pace: Pace, stop: asyncio.Event) -> bool:
        """Apply what lies within the bounds; False when it was told to stop before the end.

        Of an operation that came in several partitions the record counts that counts in the live
        ledger, whichever is read first here. The others are held back: :meth:`settle` is for them.
        """
        disputed = await asyncio.to_thread(pair.disputed)
        chunks = RecordReader(self._settings, "rebuild").read(bounds)
        positions = {partition: first for partition, (first, _) in bounds.items()}
        try:
            reading = asyncio.create_task(self._gather(chunks, positions, disputed))
            while (some := await reading) is not None:
                if stop.is_set():
                    return False
                # The next is read while Postgres applies this one.
                reading = asyncio.create_task(self._gather(chunks, positions, disputed))
                await self._apply(some)
                pace.made(sum(after - first for first, after in some.bounds.values()))
        finally:
            await asyncio.wait({reading})
            chunks.close()
        return True

    async def settle(self, pair: Pair) -> None:
        """Give what was held back its outcome, now that the records that count are there.

        Also what an earlier rebuild held back and was stopped before this.
        """
        held_back = pair.held_back()
        while (positions := await asyncio.to_thread(next, held_back, None)) is not None:
            records = await asyncio.to_thread(self._read, set(positions))
            if records:
                entries, dead = journal.read(records, self._partitions)
                bounds = bounds_of((one.partition, one.offset) for one in records)
                await self._ledgers[0].apply(self._batch(entries, dead, bounds), Replay.FOR_GOOD)
        await asyncio.to_thread(pair.forget_replayed)

    def _read(self, positions: Set[Position]) -> list[Record]:
        with closing(RecordReader(self._settings, "rebuild").read(bounds_of(positions))) as chunks:
            return [
                one for chunk in chunks for one in chunk if (one.partition, one.offset) in positions
            ]

    async def catch_up(self, bounds: Bounds, pair: Pair, pace: Pace) -> None:
        """Apply what lies within the bounds and settle, while the live ledger is locked.

        Raises LedgerError when that takes long: a swap can be tried again.
        """
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                await self.over(bounds, pair, pace, asyncio.Event())
                await self.settle(pair)
        except TimeoutError:
            raise LedgerError(
                f"What came meanwhile took more than {CATCH_UP_SECONDS_MAX} seconds to apply, and "
                "the live ledger may not be locked for longer; nothing was swapped.",
                hint="The same command goes on from here, best when less comes in.",
            ) from None

    async def _gather(
        self,
        chunks: Generator[list[Record]],
        positions: dict[int, int],
        disputed: Mapping[str, int],
    ) -> _Some | None:
        return await asyncio.to_thread(self._gather_now, chunks, positions, disputed)

    def _gather_now(
        self,
        chunks: Generator[list[Record]],
        positions: dict[int, int],
        disputed: Mapping[str, int],
    ) -> _Some | None:
        """Read as many records as the transactions of one turn take; None at the end."""
        records: list[Record] = []
        many = self._settings.stream_batch_records_max * self._settings.stream_connections
        for chunk in chunks:
            records += chunk
            if len(records) >= many:
                break
        if not records:
            return None
        entries, dead = journal.read(records, self._partitions)
        entries = [
            entry
            for entry in entries
            if disputed.get(entry.payment.operation_id, entry.partition) == entry.partition
        ]
        return _Some(entries, dead, dict(ranges_of(records, positions)))

    async def _apply(self, some: _Some) -> None:
        batch = self._batch(some.entries, some.dead, some.bounds)
        shares = shares_of(batch.slices, len(self._ledgers))

        async def apply(ledger: Ledger, share: Batch) -> None:
            for piece in pieces_of(share, self._settings.stream_batch_records_max):
                await ledger.apply(piece)

        async with asyncio.TaskGroup() as group:
            for ledger, slices in zip(self._ledgers, shares, strict=False):
                group.create_task(apply(ledger, Batch(batch.topic, batch.topic_id, slices)))

    def _batch(
        self, entries: list[Entry], dead: list[DeadLetter], bounds: Mapping[int, tuple[int, int]]
    ) -> Batch:
        return Batch(self._settings.topic, self._topic_id, slices_of(entries, dead, bounds))
