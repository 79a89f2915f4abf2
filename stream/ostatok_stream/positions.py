"""Where a worker starts reading: the ledger's offsets, once the topic is known to be the ledger's.

aiokafka resets an offset that is out of range by itself, without a word. So whatever could make it
do so is looked for before each seek, and found means stop: a payment skipped is money lost.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog

from ostatok.backoff import backoff
from ostatok.errors import JournalUnavailable, LedgerUnavailable
from ostatok.journal import Record
from ostatok.topic import Topic, check_held, not_held
from ostatok_db.ledger import Ledger, check_topic
from ostatok_stream.watchdog import Progress

log = structlog.get_logger()


class Session:
    """One ledger connection, used by one task at a time, and made anew after it broke."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._ledger: Ledger | None = None
        self._in_use = asyncio.Lock()

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """Lend the connected ledger. Raises :class:`LedgerUnavailable`."""
        async with self._in_use:
            try:
                if self._ledger is None:
                    self._ledger = await Ledger.connect(self._conninfo)
                yield self._ledger
            except LedgerUnavailable:
                await self._close()
                raise

    async def close(self) -> None:
        """Close the connection when nobody uses it any more, and for good.

        Who asks for it after that waits until it is cancelled: a worker that stops begins nothing.
        """
        await self._in_use.acquire()
        await self._close()

    async def _close(self) -> None:
        if self._ledger is not None:
            ledger, self._ledger = self._ledger, None
            await ledger.close()


class Positions:
    """Checked start offsets of the journal's partitions."""

    def __init__(self, topic: Topic, session: Session, progress: Progress) -> None:
        self._topic = topic
        self._progress = progress
        self._session = session
        self.topic = topic.name
        self.topic_id = ""
        self.partitions = 0

    async def of(self, partitions: Collection[int]) -> dict[int, int]:
        """Give the ledger's next offset of each partition, waiting for Postgres and Kafka.

        Raises :class:`JournalMismatch` when the topic is not the one the ledger was built from or
        no longer holds the offsets.
        """
        for seconds in backoff():
            try:
                return await self._checked(partitions)
            except (LedgerUnavailable, JournalUnavailable) as error:
                log.warning("start_delayed", reason=str(error), retry_seconds=seconds)
                self._progress.made()
            await asyncio.sleep(seconds)
        raise AssertionError("backoff is endless")

    async def check_gap(self, partition: int, position: int, record: Record) -> None:
        """See that between a position and the record read next nothing was lost.

        A gap is lawful: a transaction's markers and compaction leave some. It is not when the topic
        no longer begins at or before the position, or when the offset went back.
        """
        held = (await asyncio.to_thread(self._topic.ranges, [partition]))[partition]
        if record.offset < position or held.earliest > position:
            raise not_held(self._topic.name, partition, position, held)

    async def check(self) -> dict[int, tuple[int, str]]:
        """See that the topic is the ledger's; give {partition: (next offset, id of the topic)}."""
        described = await self._topic.describe_async()
        name = self._topic.name
        async with self._session.ledger() as ledger:
            stored = await ledger.offsets(name)
        self.topic_id, self.partitions = check_topic(stored, topic=name, described=described)
        return stored

    async def _checked(self, partitions: Collection[int]) -> dict[int, int]:
        stored = await self.check()
        next_offsets = {partition: stored[partition][0] for partition in partitions}
        held = await asyncio.to_thread(self._topic.ranges, partitions)
        check_held(self._topic.name, held, next_offsets)
        return next_offsets
