"""Reading ranges of the topic, outside of any group.

For receipts, audit and replay, and for the record that the stream's client can't decode.
librdkafka's consumer on purpose: it reads what aiokafka's can't decode, and a second client that
sees the same records is a check of the first.
"""

import gc
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from math import inf
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ostatok.errors import JournalUnavailable
from ostatok.journal import Headers, Record
from ostatok.kafka import configuring, librdkafka_config, quiet
from ostatok.settings import Settings

CHUNK_RECORDS = 2_000
POLL_SECONDS = 0.2
SILENT_SECONDS_MAX = 20.0
"""How long nothing may come while something is still to come, unless told otherwise."""

PARTITION_BYTES_MAX = 1_048_576
"""How much of a partition comes with one request; a longer record comes."""

FIRST_BYTES_MAX = 16_384
"""The same when one record of each partition is all that is wanted."""

Bounds = Mapping[int, tuple[int, int]]
"""Partition → (first offset, the offset behind the last)."""


class RecordReader:
    """Reads what lies in a range of each of some partitions."""

    def __init__(
        self, settings: Settings, name: str, silent_seconds_max: float = SILENT_SECONDS_MAX
    ) -> None:
        """Be the reader of that name; connects when it is asked to read."""
        self._settings = settings
        self._name = name
        self._silent_seconds_max = silent_seconds_max

    def read_all(self, bounds: Bounds) -> list[Record]:
        """Give all records of the ranges, each partition's in order. Blocks."""
        return [record for chunk in self.read(bounds) for record in chunk]

    def first(self, partition: int, offset: int, end: int) -> Record:
        """Give the first record at or behind an offset, and before another. Blocks.

        Raises :class:`JournalUnavailable` when there is none.
        """
        for record in self.firsts({partition: (offset, end)}).values():
            return record
        raise JournalUnavailable(f"Kafka: partition {partition} has no record from {offset} on.")

    def firsts(self, bounds: Bounds, seconds_max: float = inf) -> dict[int, Record]:
        """Give the first record of each range, by partition; of one without, none. Blocks.

        Nor of one whose record has not come within so many seconds. Raises what :meth:`read` does.
        """
        # One at a time: what is read ahead of a partition is dropped when its first is there.
        until = time.monotonic() + seconds_max
        with closing(self._read(bounds, 1, firsts_alone=True, until=until)) as chunks:
            return {record.partition: record for chunk in chunks for record in chunk}

    def read(self, bounds: Bounds) -> Generator[list[Record]]:
        """Give the records of the ranges in chunks, each partition's in order. Blocks.

        An offset without a record (a transaction's marker) is passed over. Raises
        :class:`JournalUnavailable` when Kafka is away, and when an offset is not there any more.
        """
        return self._read(bounds, CHUNK_RECORDS, firsts_alone=False)

    def _read(
        self, bounds: Bounds, chunk_records: int, *, firsts_alone: bool, until: float = inf
    ) -> Generator[list[Record]]:
        left = {one: end for one, (first, end) in bounds.items() if first < end}
        bytes_max = FIRST_BYTES_MAX if firsts_alone else PARTITION_BYTES_MAX
        with self._consumer(bytes_max) as consumer:
            topic = self._settings.topic
            consumer.assign([TopicPartition(topic, one, bounds[one][0]) for one in left])
            heard_at = time.monotonic()
            while left and time.monotonic() < until:
                messages = consumer.consume(chunk_records, POLL_SECONDS)
                if messages:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > self._silent_seconds_max:
                    raise JournalUnavailable(f"Kafka: nothing came of partitions {sorted(left)}.")
                if chunk := list(self._taken(messages, left, consumer)):
                    if firsts_alone:
                        for record in chunk:
                            self._strike_out(record.partition, left, consumer)
                    yield chunk

    def offsets_at(self, partitions: Iterable[int], moment: datetime) -> dict[int, int | None]:
        """Give of each partition the first offset of that time or later; None for none. Blocks.

        By the records' timestamps, which are the receivers' clocks.
        """
        milliseconds = int(moment.timestamp() * 1000)
        topic = self._settings.topic
        asked = [TopicPartition(topic, partition, milliseconds) for partition in partitions]
        with self._consumer(PARTITION_BYTES_MAX) as consumer:
            found = consumer.offsets_for_times(asked, timeout=self._silent_seconds_max)
        for one in found:
            if one.error is not None:
                raise JournalUnavailable(f"Kafka: partition {one.partition}: {one.error.str()}.")
        return {one.partition: None if one.offset < 0 else one.offset for one in found}

    def _taken(
        self, messages: list[Message], left: dict[int, int], consumer: Consumer
    ) -> Iterator[Record]:
        """Give the records that belong to the ranges, and strike out what is read to its end."""
        for message in messages:
            partition, offset, error = message.partition(), message.offset(), message.error()
            if partition is None or offset is None or partition not in left:
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    raise JournalUnavailable(f"Kafka: {error.str()}.")
                continue
            if error is None:
                if offset < left[partition]:
                    yield _record(message, partition, offset)
                offset += 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise JournalUnavailable(f"Kafka: partition {partition}: {error.str()}.")
            if offset >= left[partition]:
                self._strike_out(partition, left, consumer)

    def _strike_out(self, partition: int, left: dict[int, int], consumer: Consumer) -> None:
        if left.pop(partition, None) is not None:
            consumer.pause([TopicPartition(self._settings.topic, partition)])

    @contextmanager
    def _consumer(self, partition_bytes_max: int) -> Iterator[Consumer]:
        config: dict[str, Any] = {
            **librdkafka_config(self._settings),
            **quiet(),
            "group.id": f"{self._settings.stream_group}-{self._name}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            # As the stream's consumer: a record counts whether its transaction was committed.
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 50,
            "max.partition.fetch.bytes": partition_bytes_max,
            # What is read ahead, in all: it must not grow with the range.
            "queued.max.messages.kbytes": 16_384,
        }
        with configuring():
            consumer = Consumer(config)
        try:
            yield consumer
        except KafkaException as error:
            raise JournalUnavailable(f"Kafka: {error.args[0].str()}.") from error
        finally:
            consumer.close()


def _record(message: Message, partition: int, offset: int) -> Record:
    key, value = message.key(), message.value()
    return Record(
        partition,
        offset,
        message.timestamp()[1],
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        _headers(message),
    )


def _headers(message: Message) -> Headers | None:
    """Give the headers; None when a name among them is no UTF-8.

    Then confluent_kafka 2.16 gives a list with holes, whose items crash the interpreter when they
    are looked at, and leaves an error behind that the next call of a function in C stumbles over.
    The garbage collector looks at no item, and passes over holes.
    """
    try:
        headers: Any = message.headers()
        items = gc.get_referents(headers)
    except SystemError:
        return None
    if headers is None:
        return ()
    return headers if len(items) == len(headers) else None
