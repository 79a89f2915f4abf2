"""Writing records to the topic and waiting for them: for operators, not for webhooks."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ostatok.errors import JournalUnavailable
from ostatok.journal import PARTITIONER
from ostatok.kafka import configuring, librdkafka_config, quiet
from ostatok.settings import Settings

GRACE_SECONDS = 1.0
"""How much longer than its time-out a record is waited for, should librdkafka say nothing."""

IN_HAND_MAX = 20_000
"""Records of a long row that are not acknowledged yet, at the most."""

SILENT_SECONDS_MAX = 30.0
"""How long none of a long row may be acknowledged."""

_POLL_SECONDS = 0.2


class Draft(NamedTuple):
    """A record to be written."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int | None = None
    """None: the key's."""
    timestamp_ms: int | None = None
    """None: now."""


class RecordWriter:
    """A producer that writes with the receiver's guarantees: idempotent, acknowledged by all."""

    def __init__(self, settings: Settings) -> None:
        """Connects when the first record is written."""
        self._topic = settings.topic
        self._seconds = settings.publish_timeout_seconds
        self._producer = _make_producer(settings, self._seconds)

    def write(
        self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """Write a record and give its partition and offset, once all in-sync replicas have it.

        Blocks. Raises :class:`JournalUnavailable` when that did not happen in time; then nobody
        knows whether the record is there.
        """
        reports: list[tuple[Any, Message]] = []
        try:
            self._producer.produce(
                self._topic,
                value,
                key,
                headers=list(headers),
                on_delivery=lambda error, message: reports.append((error, message)),
            )
        except KafkaException as error:
            raise JournalUnavailable(f"Kafka: {error.args[0].str()}.") from error
        self._producer.flush(self._seconds + GRACE_SECONDS)
        if not reports:
            raise JournalUnavailable
        ((failure, message),) = reports
        if failure is not None:
            raise JournalUnavailable(f"Kafka: {failure.str()}.")
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None:
            raise JournalUnavailable("Kafka did not say where the record lies.")
        return partition, offset


class RowWriter:
    """A producer that writes a long row of records, with the same guarantees."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic

    def write_all(self, drafts: Iterable[Draft]) -> int:
        """Write a row of records, each partition's in order and without a hole; say how many.

        Blocks. Raises :class:`JournalUnavailable` when Kafka acknowledges none for a while: of each
        partition a beginning is there then, and nothing behind it.
        """
        # None is given up while those behind it wait: that would leave a hole.
        producer = _make_producer(self._settings, timeout_seconds=0)
        row = _Row()
        try:
            for draft in drafts:
                row.written += 1
                while len(producer) >= IN_HAND_MAX:
                    producer.poll(_POLL_SECONDS)
                    row.check()
                if not len(producer):
                    row.begin()
                self._produce(producer, draft, row)
                producer.poll(0)
            while len(producer):
                producer.poll(_POLL_SECONDS)
                row.check()
            row.check()
        finally:
            producer.purge()
        return row.written

    def _produce(self, producer: Producer, draft: Draft, row: "_Row") -> None:
        place: dict[str, Any] = {}
        if draft.partition is not None:
            place["partition"] = draft.partition
        if draft.timestamp_ms is not None:
            place["timestamp"] = draft.timestamp_ms
        while True:
            try:
                producer.produce(
                    self._topic,
                    draft.value,
                    draft.key,
                    headers=list(draft.headers),
                    on_delivery=row.report,
                    **place,
                )
            except BufferError:
                # As many bytes as librdkafka holds.
                producer.poll(_POLL_SECONDS)
                row.check()
            except KafkaException as error:
                raise JournalUnavailable(f"Kafka: {error.args[0].str()}.") from error
            else:
                return


class _Row:
    """What became of a row of records so far."""

    def __init__(self) -> None:
        self.written = 0
        self._failure: KafkaError | None = None
        self._heard_at = time.monotonic()

    def begin(self) -> None:
        """Nothing was in hand: who gives the records took his time, and not Kafka."""
        self._heard_at = time.monotonic()

    def report(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error
        self._heard_at = time.monotonic()

    def check(self) -> None:
        """Raise when one failed, or none was acknowledged for long."""
        if self._failure is not None:
            raise JournalUnavailable(f"Kafka: {self._failure.str()}.")
        if time.monotonic() - self._heard_at > SILENT_SECONDS_MAX:
            raise JournalUnavailable("Kafka acknowledges nothing.")


def _make_producer(settings: Settings, timeout_seconds: float) -> Producer:
    config: dict[str, Any] = {
        **librdkafka_config(settings),
        **quiet(),
        "client.id": "ostatok-operator",
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "message.timeout.ms": int(timeout_seconds * 1000),
        "allow.auto.create.topics": False,
        # What the broker took once it takes again: its limit counts, and not the client's.
        "message.max.bytes": 1_000_000_000,
    }
    with configuring():
        return Producer(config)
