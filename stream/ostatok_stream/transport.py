"""Faust's transport, taught two things: whole fetches instead of events, offsets from Postgres.

Stock Faust spends about 65 µs on an event, whatever the batch size, so an event here is all that
one fetch brought. Where to go on reading is asked of the ledger, which moves its offsets in the
transaction that applies the records; Kafka's own group offsets are never read.

Registered as ``ostatok://`` under the entry point group ``faust.transports``.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import structlog
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import ConsumerT

from ostatok import journal
from ostatok.backoff import backoff
from ostatok.errors import JournalUnavailable, LedgerUnavailable, OstatokError
from ostatok.journal import DeadLetter, Entry, Record
from ostatok_stream.ending import end_process

if TYPE_CHECKING:
    from ostatok_stream.app import App

SEEK_SECONDS_MAX = 45
"""Faust gives up on a seek after ``broker_request_timeout`` (90 s), and then hangs for good: this
process ends well before, and the next one waits for Postgres before it joins the group."""

FETCH_WAIT_MS_MAX = 100
"""How long the broker may hold a fetch back for want of records. Faust says 1,500. aiokafka has one
fetch at a time under way to a broker, and a partition that was not empty when it left is not in it:
what comes there waits until the others' fetch is back."""

READ_RECORDS = 200
"""Records that are read at a stroke: 4 ms or so."""

CAREFUL_RECORDS_MAX = 500
"""Records of a partition that are read one by one before a whole fetch is tried again."""
CAREFUL_TIMEOUT_MS = 2_000

log = structlog.get_logger()


class Fetch(msgspec.Struct, frozen=True):
    """What one fetch brought: of each partition the records and the positions around them."""

    records: Sequence[Record]
    entries: Sequence[Entry]
    """The records that are payments, read here and not in the agent: Postgres has the batch before
    meanwhile, and reading takes nearly as long as applying."""
    dead: Sequence[DeadLetter]
    """The records that are none."""
    bounds: Mapping[int, tuple[int, int]]
    """Partition → (position before, position after): ``[first, next)`` is covered."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread aiokafka lives in."""

    consumer: "Consumer"

    async def on_start(self) -> None:
        """Connect, and try again when Kafka goes away between the check before and this.

        aiokafka tries once, and its error would end the worker.
        """
        for seconds in backoff():
            try:
                await super().on_start()
            except KafkaConnectionError as error:
                log.warning("start_delayed", reason=str(error), retry_seconds=seconds)
                self.consumer.app.progress.made()
                if self._consumer is not None:
                    await self._consumer.stop()
            else:
                return
            await self.sleep(seconds)
            if self.should_stop:
                return

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS_MAX  # noqa: SLF001  # Faust writes it in full
        return consumer


class Consumer(driver.Consumer):
    """Faust's aiokafka consumer with two methods of its own."""

    app: "App"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_offset: dict[int, int] = {}
        self._seeks = 0
        self._gaps: dict[int, tuple[int, int]] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to the ledger's offset, and give those offsets."""
        assigned = self.assignment()
        self._seeks += 1
        try:
            async with asyncio.timeout(SEEK_SECONDS_MAX):
                start = await self.app.positions.of({tp.partition for tp in assigned})
        except TimeoutError:
            end_process(LedgerUnavailable("Postgres or Kafka did not answer during a rebalance."))
        except OstatokError as error:
            end_process(error)
        offsets = {tp: start[tp.partition] for tp in assigned}
        self._next_offset = dict(start)
        self.app.brake.release()
        if offsets:
            await self._thread.seek_wait(offsets)
        return offsets

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109  # Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Give what a fetch brought as one message, carried by one of its partitions.

        Nothing fetched is ever left out: the positions before and after say what was covered.
        """
        if not await self.app.brake.has_room(timeout):
            return
        seeks, generation_id = self._seeks, self.app.consumer_generation_id
        try:
            fetched, _active = await self._wait_next_records(timeout)
        except UnicodeDecodeError as error:
            records = await self._read_carefully(error)
        else:
            records = [_record(one) for some in (fetched or {}).values() for one in some]
        if not records or self.should_stop:
            return
        entries, dead = await self._read(records)
        if not self.flow_active or self._seeks != seeks:
            # Read from positions that are no longer ours.
            await self._seek_back()
            return
        if await self._reads_again_for_a_gap(records):
            return
        fetch = Fetch(records, entries, dead, self._advance(records))
        self.app.brake.took(fetch, len(records))
        last = records[-1]
        carrier = TP(self.app.positions.topic, last.partition)
        yield (
            carrier,
            ConsumerMessage(
                topic=carrier.topic,
                partition=carrier.partition,
                offset=last.offset,
                timestamp=last.timestamp_ms / 1000,
                timestamp_type=0,
                headers=[],
                key=None,
                value=fetch,  # type: ignore[arg-type]  # handed on unread
                checksum=None,
                serialized_key_size=0,
                serialized_value_size=0,
                tp=carrier,
                # Without it Faust takes the message for one of an older assignment and drops it.
                generation_id=generation_id,
            ),
        )

    async def _read(self, records: Sequence[Record]) -> tuple[list[Entry], list[DeadLetter]]:
        """Say of each record what it is, a few at a time: the agent must get its turns.

        Else the batch before would not get to Postgres until all of these are read.
        """
        entries: list[Entry] = []
        dead: list[DeadLetter] = []
        for at in range(0, len(records), READ_RECORDS):
            some = records[at : at + READ_RECORDS]
            found, buried = journal.read(some, self.app.positions.partitions)
            entries += found
            dead += buried
            await asyncio.sleep(0)
        return entries, dead

    async def _reads_again_for_a_gap(self, records: Sequence[Record]) -> bool:
        """Seek back when the records don't begin where we stood, unless they did the same before.

        A gap is lawful where a transaction's marker or compaction left it, and then it is there
        every time. Otherwise something was read and lost on the way here.
        """
        first: dict[int, int] = {}
        for record in records:
            first.setdefault(record.partition, record.offset)
        gaps = {
            partition: (self._next_offset.get(partition, -1), offset)
            for partition, offset in first.items()
            if self._next_offset.get(partition, -1) != offset
        }
        if gaps.items() <= self._gaps.items():
            for partition in gaps:
                del self._gaps[partition]
            return False
        log.warning("gap_read_again", gaps=gaps)
        self._gaps.update(gaps)
        try:
            await self._seek_and_wait(
                {partition: self._next_offset[partition] for partition in first}
            )
        except (IllegalStateError, KeyError, TimeoutError) as failure:
            log.info("seek_left_to_rebalance", reason=repr(failure))
            await self._seek_back()
        return True

    def _advance(self, records: Sequence[Record]) -> dict[int, tuple[int, int]]:
        """Move our positions behind the records, and give where they were and where they are."""
        after = {record.partition: record.offset + 1 for record in records}
        bounds = {
            partition: (self._next_offset[partition], offset) for partition, offset in after.items()
        }
        self._next_offset.update(after)
        return bounds

    async def _read_carefully(self, error: UnicodeDecodeError) -> list[Record]:
        """Read one by one what holds a record that aiokafka can't decode: librdkafka can."""
        log.warning("fetch_undecodable", reason=str(error))
        positions = dict(self._next_offset)
        records: list[Record] = []
        try:
            held = await asyncio.to_thread(self.app.journal.ranges, positions)
            await self._seek_and_wait(positions)
            for partition, position in positions.items():
                records += await self._read_partition(partition, position, held[partition].end)
        except (JournalUnavailable, IllegalStateError, TimeoutError) as failure:
            log.warning("careful_read_failed", reason=str(failure))
            await self._seek_back()
            return []
        # The seeks made Faust take these records for read: it would drop them.
        for partition, position in positions.items():
            self._read_offset[TP(self.app.positions.topic, partition)] = position or None
        return records

    async def _read_partition(self, partition: int, position: int, end: int) -> list[Record]:
        consumer, thread = self._thread._ensure_consumer(), self._thread  # noqa: SLF001
        tp = TopicPartition(self.app.positions.topic, partition)
        records: list[Record] = []
        while position < end and len(records) < CAREFUL_RECORDS_MAX:
            try:
                fetched = await thread.call_thread(
                    consumer.getmany, tp, timeout_ms=CAREFUL_TIMEOUT_MS, max_records=1
                )
            except UnicodeDecodeError:
                record = await asyncio.to_thread(self.app.records.first, partition, position, end)
                await self._seek_and_wait({partition: record.offset + 1})
            else:
                if not fetched:
                    break
                record = _record(fetched[tp][0])
            position = record.offset + 1
            records.append(record)
        return records

    async def _seek_and_wait(self, positions: Mapping[int, int]) -> None:
        topic = self.app.positions.topic
        await self._thread.seek_wait({TP(topic, one): offset for one, offset in positions.items()})

    async def _seek_back(self) -> None:
        """Forget a fetch that a rebalance overtook; the seek at its end comes anyway."""
        self._next_offset.clear()
        try:
            await self.perform_seek()
        except (IllegalStateError, TimeoutError) as error:
            log.info("seek_left_to_rebalance", reason=str(error))


def _record(fetched: Any) -> Record:
    return Record(
        fetched.partition,
        fetched.offset,
        fetched.timestamp,
        fetched.key,
        fetched.value,
        fetched.headers,
    )


class Transport(driver.Transport):
    """The driver with our consumer."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
