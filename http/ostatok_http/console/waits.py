"""Since when each partition's oldest record waits that is not applied yet."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import structlog

from ostatok import journal
from ostatok.errors import JournalError, JournalUnavailable
from ostatok.topic import Range
from ostatok_http.desk import Desk
from ostatok_http.ports import RecordSource

READ_SECONDS_MAX = 5.0
"""How long a look waits for those records."""

log = structlog.get_logger()


class Waits:
    """Reads a record once, and only when it was there at the look before already.

    So of a partition that keeps up nothing is ever read.
    """

    def __init__(self, records: RecordSource) -> None:
        self._records = records
        self._desk = Desk(1, 1, READ_SECONDS_MAX, JournalUnavailable)
        self._ends: dict[int, int] = {}
        self._read: dict[int, tuple[int, datetime]] = {}
        """Partition → the next offset to apply, and since when what lies there waits."""

    def forget(self) -> None:
        """Know nothing of any look before: the offsets are another topic's."""
        self._ends, self._read = {}, {}

    async def look(
        self, at: datetime, applied: Mapping[int, int], held: Mapping[int, Range]
    ) -> dict[int, datetime]:
        """Say since when each partition waits; one is left out that does not, or nobody knows.

        ``at`` is the time of the look, ``applied`` the next offset to apply, ``held`` what the
        topic holds. Right to the time between two looks.
        """
        ends_before, self._ends = self._ends, {one: held[one].end for one in applied}
        before, self._read = self._read, {}
        came, unread = dict[int, datetime](), dict[int, tuple[int, int]]()
        for one, offset in applied.items():
            earliest, end = held[one].earliest, held[one].end
            if offset >= end:
                continue
            if one in before and before[one][0] == offset:
                self._read[one] = before[one]
            elif one in ends_before and offset >= ends_before[one]:
                came[one] = at
            elif earliest < end:  # Else the topic has lost all that waits.
                unread[one] = (max(offset, earliest), end)
        if unread:
            for one, since in (await self._received(unread, len(applied))).items():
                self._read[one] = (applied[one], since)
        return came | {one: since for one, (_, since) in self._read.items()}

    async def _received(
        self, bounds: Mapping[int, tuple[int, int]], partitions: int
    ) -> dict[int, datetime]:
        """When the first record of each range was received; nothing when it can't be read now."""
        try:
            found = await self._desk.do(partial(self._records.firsts, bounds))
        except JournalError as error:
            log.info("console_oldest_unread", reason=str(error))
            return {}
        entries, dead = journal.read(list(found.values()), partitions)
        received = {one.partition: one.received_at for one in entries}
        return received | {one.record.partition: one.received_at for one in dead}
