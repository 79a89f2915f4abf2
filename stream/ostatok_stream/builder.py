"""Reading a topic into a second ledger, as fast as a worker would."""

import asyncio
from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from typing import NamedTuple, Self

from ostatok import journal
from ostatok.journal import DeadLetter, Entry, Record
from ostatok.pace import Pace
from ostatok.record_reader import Bounds, RecordReader
from ostatok.settings import Settings
from ostatok_db.batch import Batch, Position, bounds_of, pieces_of, shares_of, slices_of
from ostatok_db.connection import conninfo
from ostatok_db.held_back import Held, HeldBack
from ostatok_db.ledger import Ledger, Replay
from ostatok_db.second import Pair
from ostatok_stream.comparing import ranges_of


class _Some(NamedTuple):
    """Records that are applied together."""

    entries: list[Entry]
    dead: list[DeadLetter]
    bounds: dict[int, tuple[int, int]]


class Builder:
    """Applies records in transactions side by side, as a worker does.

    Of an operation that came with several INNs the record counts that counts in the live ledger,
    whichever is read first. The others are held back: :meth:`settle` is for them.
    """

    def __init__(self, settings: Settings, described: tuple[str, int], pair: Pair) -> None:
        """Write to the ledger of ``settings``, of a topic with that id and so many partitions."""
        self._settings = settings
        self._topic_id, self._partitions = described
        self._pair = pair
        self._ledgers: list[Ledger] = []

    async def __aenter__(self) -> Self:
        self._held_back = await asyncio.to_thread(HeldBack.connect, self._settings)
        target = conninfo(self._settings, name="rebuild", writes=True)
        for _ in range(self._settings.stream_connections):
            self._ledgers.append(await Ledger.connect(target))
        return self

    async def __aexit__(self, *_: object) -> None:
        for ledger in self._ledgers:
            await ledger.close()
        self._held_back.close()

    async def over(self, bounds: Bounds, pace: Pace, stop: asyncio.Event) -> bool:
        """Apply what lies within the bounds; False when it was told to stop before the end."""
        chunks = RecordReader(self._settings, "rebuild").read(bounds)
        positions = {partition: first for partition, (first, _) in bounds.items()}
        try:
            reading = asyncio.create_task(asyncio.to_thread(self._gather, chunks, positions))
            while (some := await reading) is not None:
                if stop.is_set():
                    return False
                # The next is read while Postgres applies this one.
                reading = asyncio.create_task(asyncio.to_thread(self._gather, chunks, positions))
                await self._apply(some)
                pace.made(sum(after - first for first, after in some.bounds.values()))
        finally:
            await asyncio.wait({reading})
            chunks.close()
        return True

    async def settle(self, *, everything: bool) -> None:
        """Give what was held back its outcome, where the record that counts is there by now.

        ``everything``: also where it is not, as when the live ledger names one that the topic does
        not have. Also what an earlier rebuild held back and was stopped before this.
        """
        due = self._held_back.due(everything=everything)
        while (positions := await asyncio.to_thread(next, due, None)) is not None:
            records = await asyncio.to_thread(self._read, set(positions))
            if records:
                entries, dead = journal.read(records, self._partitions)
                bounds = bounds_of((one.partition, one.offset) for one in records)
                await self._ledgers[0].apply(self._batch(entries, dead, bounds), Replay.FOR_GOOD)
        await asyncio.to_thread(self._held_back.settled)

    def _read(self, positions: Collection[Position]) -> list[Record]:
        with closing(RecordReader(self._settings, "rebuild").read(bounds_of(positions))) as chunks:
            return [
                one for chunk in chunks for one in chunk if (one.partition, one.offset) in positions
            ]

    def _gather(self, chunks: Generator[list[Record]], positions: dict[int, int]) -> _Some | None:
        """Read as many records as the transactions of one turn take; None at the end. Blocks.

        What is to be held back is noted before it returns.
        """
        records: list[Record] = []
        many = self._settings.stream_batch_records_max * self._settings.stream_connections
        for chunk in chunks:
            records += chunk
            if len(records) >= many:
                break
        if not records:
            return None
        entries, dead = journal.read(records, self._partitions)
        ranges = dict(ranges_of(records, positions))
        elsewhere = self._pair.counted_elsewhere(entries, ranges)
        held = [entry for entry in entries if not _counts(entry, elsewhere)]
        self._held_back.add(
            [Held(one.partition, one.offset, one.payment.operation_id) for one in held]
        )
        entries = [entry for entry in entries if _counts(entry, elsewhere)] if held else entries
        return _Some(entries, dead, ranges)

    async def _apply(self, some: _Some) -> None:
        batch = self._batch(some.entries, some.dead, some.bounds)
        shares = shares_of(batch.slices, len(self._ledgers))

        async def apply(ledger: Ledger, share: Batch) -> None:
            for piece in pieces_of(share, self._settings.stream_batch_records_max):
                await ledger.apply(piece)

        done = await asyncio.gather(
            *(
                apply(ledger, Batch(batch.topic, batch.topic_id, slices))
                for ledger, slices in zip(self._ledgers, shares, strict=False)
            ),
            return_exceptions=True,
        )
        for error in done:
            if error is not None:
                raise error

    def _batch(
        self, entries: list[Entry], dead: list[DeadLetter], bounds: Mapping[int, tuple[int, int]]
    ) -> Batch:
        return Batch(self._settings.topic, self._topic_id, slices_of(entries, dead, bounds))


def _counts(entry: Entry, elsewhere: Mapping[str, str]) -> bool:
    return elsewhere.get(entry.payment.operation_id, entry.payment.inn) == entry.payment.inn
