"""Writing single records to the topic, and waiting for each: for operators, not for webhooks."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

from ostatok.errors import JournalUnavailable
from ostatok.journal import PARTITIONER
from ostatok.kafka import configuring, librdkafka_config, quiet
from ostatok.settings import Settings

GRACE_SECONDS = 1.0
"""How much longer than its time-out a record is waited for, should librdkafka say nothing."""


class RecordWriter:
    """A producer that writes with the receiver's guarantees: idempotent, acknowledged by all."""

    def __init__(self, settings: Settings) -> None:
        """Connects when the first record is written."""
        self._topic = settings.topic
        self._seconds = settings.publish_timeout_seconds
        config: dict[str, Any] = {
            **librdkafka_config(settings),
            **quiet(),
            "client.id": "ostatok-operator",
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": PARTITIONER,
            "message.timeout.ms": int(self._seconds * 1000),
            "allow.auto.create.topics": False,
        }
        with configuring():
            self._producer = Producer(config)

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
