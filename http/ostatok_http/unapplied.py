"""What the journal has and the ledger has not yet: its tail, read when somebody asks for it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from threading import Event

from ostatok import journal
from ostatok.errors import JournalUnavailable, LedgerBehind, LedgerNotMigrated
from ostatok.journal import Entry
from ostatok_http.next_flight import NextFlight
from ostatok_http.ports import LedgerReader, RecordSource, TopicView

TAIL_RECORDS_MAX = 20_000
TAIL_BYTES_MAX = 16 * 1024 * 1024
"""A longer tail is not read for a receipt: the ledger is behind, and the answer has to wait."""

TAIL_SECONDS_MAX = 5.0
"""How long the tail may take to read."""

WAIT_SECONDS_MAX = 2 * TAIL_SECONDS_MAX
"""How long one who asks waits: for a reading under way, and for the next, which is his."""

Found = Mapping[str, Sequence[Entry]]
"""Operation → its records."""


class Unapplied:
    """Finds operations in the tail; all who ask at the same time share one reading of it."""

    def __init__(self, ledger: LedgerReader, topic: TopicView, records: RecordSource) -> None:
        self._ledger = ledger
        self._topic = topic
        self._records = records
        self._flight = NextFlight(self._read)
        self._closed = Event()

    async def of(self, operation_id: str) -> Sequence[Entry]:
        """Every record of an operation that the journal has and the ledger has not.

        Raises :class:`LedgerBehind` when that would be too much to read, and LedgerUnavailable or
        JournalUnavailable for who is away.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                return (await self._flight.answer()).get(operation_id, ())
        except TimeoutError:
            raise JournalUnavailable("The topic's tail could not be read in time.") from None

    def close(self) -> None:
        """Give up what is being read; its thread ends within a moment."""
        self._closed.set()
        self._flight.close()

    async def _read(self) -> Found:
        stored = await self._ledger.offsets()
        if not stored:
            raise LedgerNotMigrated("The ledger knows no topic.")
        held = await self._topic.ranges_async(stored)
        bounds = {
            partition: (max(next_offset, held[partition].earliest), held[partition].end)
            for partition, (next_offset, _) in stored.items()
            if next_offset < held[partition].end
        }
        behind = sum(end - start for start, end in bounds.values())
        if behind > TAIL_RECORDS_MAX:
            raise LedgerBehind(f"The ledger is {behind} records behind the journal.")
        # Not in the loop: thousands of bodies take longer to read than a webhook may wait.
        return await asyncio.to_thread(self._look, bounds, len(stored)) if bounds else {}

    def _look(self, bounds: Mapping[int, tuple[int, int]], partitions: int) -> Found:
        """Read the tail. In a thread, which must end by itself: nobody can end it."""
        found: dict[str, list[Entry]] = {}
        read_bytes, until = 0, time.monotonic() + TAIL_SECONDS_MAX
        with closing(self._records.read(bounds)) as chunks:
            for chunk in chunks:
                read_bytes += sum(len(record.value or b"") for record in chunk)
                if read_bytes > TAIL_BYTES_MAX:
                    raise LedgerBehind(f"The ledger is {read_bytes} bytes behind the journal.")
                if self._closed.is_set() or time.monotonic() > until:
                    raise JournalUnavailable("The topic's tail could not be read in time.")
                for entry in journal.read(chunk, partitions)[0]:
                    found.setdefault(entry.payment.operation_id, []).append(entry)
        return found
