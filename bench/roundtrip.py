"""Produce, consume, commit: the least that lies between a webhook and its balance."""

import asyncio
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.load import at_rate
from bench.question import BATCH_RECORDS
from ostatok.journal import PARTITIONER, headers_of, key_of
from ostatok.kafka import librdkafka_config
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

SECONDS_MAX = 60.0
"""How long the last records may take to come after they were sent."""
_POLL_SECONDS = 0.1


async def round_trip(
    settings: Settings, payments: Sequence[tuple[str, bytes]], *, rate: float
) -> list[float]:
    """Send (INN, body) at a steady rate; give the seconds from when each was due to its commit.

    The records are those our receiver writes, with its linger and its acknowledgements.
    """
    due = [0.0] * len(payments)
    refused: list[str] = []
    producer = Producer(_producing(settings))
    producer.list_topics(settings.topic, timeout=SECONDS_MAX)

    def report(error: object, _message: Message) -> None:
        if error is not None:
            refused.append(str(error))

    def begin(number: int, at: float) -> None:
        inn, body = payments[number]
        due[number] = at
        headers = headers_of(source="bank", received_at=datetime.now(UTC), request_id=f"{number}")
        producer.produce(
            settings.topic,
            body,
            key_of(inn),
            on_delivery=report,
            headers=headers,  # type: ignore[arg-type]  # it would take text and None as well
        )
        producer.poll(0)

    arrivals = _Arrivals(settings, len(payments))
    taking = asyncio.create_task(asyncio.to_thread(arrivals.take))
    try:
        # One record through each partition first: the clock is about a system that runs.
        for partition in range(settings.topic_partitions):
            headers = [("request-id", f"{-1 - partition}".encode())]
            producer.produce(settings.topic, b"", partition=partition, headers=headers)  # type: ignore[arg-type]
        there = await asyncio.to_thread(arrivals.primed.wait, SECONDS_MAX)
        assert there, "The consumer did not get the first record of every partition."
        await at_rate(rate, len(payments), begin)
        left = await asyncio.to_thread(producer.flush, SECONDS_MAX)
        assert not left, f"{left} records were not acknowledged."
        assert not refused, f"Records were refused: {refused[0]}"
        await asyncio.wait({taking}, timeout=SECONDS_MAX)
    finally:
        arrivals.stop.set()
        await asyncio.wait({taking})
    rows = taking.result()
    assert rows == len(payments), f"{rows} of {len(payments)} were committed."
    return [at - since for at, since in zip(arrivals.committed_at, due, strict=True)]


class _Arrivals:
    """The consumer's side: a table, and when each record was committed to it."""

    def __init__(self, settings: Settings, many: int) -> None:
        self.committed_at = [0.0] * many
        self.stop = threading.Event()
        self.primed = threading.Event()
        """A record of each partition, its number below zero, has been committed."""
        self._settings = settings

    def take(self) -> int:
        """Commit records as they come until all have, or :attr:`stop`; give the rows. Blocks.

        What is at hand goes into one INSERT, which is one commit and one trip to Postgres: nothing
        is waited for when one record is there, and two commits are never made where one would do.
        """
        consumer = Consumer(_consuming(self._settings))
        text = conninfo(self._settings, name="bench", writes=True)
        try:
            with psycopg.connect(text, autocommit=True) as connection:
                connection.execute(
                    "CREATE TABLE arrived (number integer PRIMARY KEY, body bytea NOT NULL)"
                )
                topic, partitions = self._settings.topic, self._settings.topic_partitions
                consumer.assign([TopicPartition(topic, one, 0) for one in range(partitions)])
                left = len(self.committed_at) + partitions
                while left and not self.stop.is_set():
                    messages = _at_hand(consumer)
                    if messages:
                        left -= self._commit(connection, messages)
                        if left <= len(self.committed_at):
                            self.primed.set()
                row = connection.execute(
                    "SELECT count(*) FROM arrived WHERE number >= 0"
                ).fetchone()
                return int(row[0]) if row else 0
        finally:
            consumer.close()

    def _commit(self, connection: psycopg.Connection, messages: Sequence[Message]) -> int:
        numbers = [_number(message) for message in messages]
        connection.execute(
            "INSERT INTO arrived SELECT * FROM unnest(%s::integer[], %s::bytea[])",
            (numbers, [message.value() for message in messages]),
        )
        now = time.perf_counter()
        for number in numbers:
            if number >= 0:
                self.committed_at[number] = now
        return len(numbers)


def _at_hand(consumer: Consumer) -> list[Message]:
    """Wait a while for one record, and take with it what has come already."""
    messages: list[Message] = []
    message = consumer.poll(_POLL_SECONDS)
    while message is not None:
        messages.append(message)
        message = consumer.poll(0) if len(messages) < BATCH_RECORDS else None
    return messages


def _number(message: Message) -> int:
    """The number of a record, which is its request id here."""
    assert message.error() is None, f"The consumer reports {message.error()}."
    headers: Any = message.headers()
    return int(dict(headers)["request-id"])


def _producing(settings: Settings) -> dict[str, Any]:
    return {
        **librdkafka_config(settings),
        "log_level": 2,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        "linger.ms": settings.publish_linger_ms,
    }


def _consuming(settings: Settings) -> dict[str, Any]:
    return {
        **librdkafka_config(settings),
        "log_level": 2,
        "group.id": "bench",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
