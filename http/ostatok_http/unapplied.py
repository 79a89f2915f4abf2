"""What the journal has and the ledger has not yet: its tail, read when somebody asks for it."""

import asyncio
from collections.abc import Sequence

from ostatok import journal
from ostatok.errors import LedgerBehind, LedgerUnavailable
from ostatok.journal import Entry
from ostatok_http.next_flight import NextFlight
from ostatok_http.ports import LedgerReader, RecordSource, TopicView

RECORDS_MAX = 20_000
"""A longer tail is not read for a receipt: the ledger is behind, and the answer has to wait."""


class Unapplied:
    """Finds operations in the tail; all who ask at the same time share one reading of it."""

    def __init__(self, ledger: LedgerReader, topic: TopicView, records: RecordSource) -> None:
        self._ledger = ledger
        self._topic = topic
        self._records = records
        self._flight = NextFlight(self._read)

    async def of(self, operation_id: str) -> Sequence[Entry]:
        """Every record of an operation that the journal has and the ledger has not.

        Raises :class:`LedgerBehind` when that would be too much to read, and LedgerUnavailable or
        JournalUnavailable for who is away.
        """
        return (await self._flight.answer()).get(operation_id, ())

    def close(self) -> None:
        """Give up what is being read."""
        self._flight.close()

    async def _read(self) -> dict[str, list[Entry]]:
        stored = await self._ledger.offsets()
        if not stored:
            raise LedgerUnavailable("The ledger knows no topic.", hint="Run `ostatok migrate`.")
        held = await self._topic.ranges_async(stored)
        bounds = {
            partition: (max(next_offset, held[partition].earliest), held[partition].end)
            for partition, (next_offset, _) in stored.items()
            if next_offset < held[partition].end
        }
        behind = sum(end - start for start, end in bounds.values())
        if behind > RECORDS_MAX:
            raise LedgerBehind(f"The ledger is {behind} records behind the journal.")
        found: dict[str, list[Entry]] = {}
        if bounds:
            records = await asyncio.to_thread(self._records.read_all, bounds)
            entries, _ = journal.read(records, len(stored))
            for entry in entries:
                found.setdefault(entry.payment.operation_id, []).append(entry)
        return found
