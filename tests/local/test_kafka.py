"""The embedded Kafka: what it acknowledged outlives stops and kills."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.parts import is_alive
from ostatok.local.ports import free_port


def config(server: EmbeddedKafka, **more: Any) -> dict[str, Any]:
    """Give a client's configuration; it says nothing of a broker that is away for a while."""
    return {
        "bootstrap.servers": server.bootstrap_servers,
        "log_level": 0,
        "error_cb": lambda _error: None,
        **more,
    }


def publish(server: EmbeddedKafka, value: bytes) -> None:
    """Publish one record and wait for its acknowledgement."""
    failures: list[Any] = []
    producer = Producer(config(server, acks="all"))
    producer.produce(
        "journal", value, on_delivery=lambda error, _: failures.append(error) if error else None
    )
    assert producer.flush(20) == 0
    assert not failures


def read(server: EmbeddedKafka, count: int) -> list[bytes]:
    """Read the topic's first records."""
    consumer = Consumer(config(server, **{"group.id": "test", "enable.auto.commit": False}))
    consumer.assign([TopicPartition("journal", 0, 0)])
    messages = consumer.consume(count, timeout=20)
    consumer.close()
    return [message.value() or b"" for message in messages]


def make_topic(server: EmbeddedKafka) -> None:
    """Make the topic."""
    client = AdminClient(config(server))
    client.create_topics([NewTopic("journal", 1, 1)])["journal"].result(20)


def is_refused(server: EmbeddedKafka, topic: str) -> bool:
    """Tell whether there is no such topic, also after having been asked for."""
    client = AdminClient(config(server))
    return client.list_topics(topic, timeout=10).topics[topic].error is not None


@pytest.fixture
async def broker(folder: Path) -> AsyncIterator[Callable[[], EmbeddedKafka]]:
    """Give a maker of brokers, all on one folder; they are ended afterwards."""
    made: list[EmbeddedKafka] = []

    def make() -> EmbeddedKafka:
        made.append(EmbeddedKafka(folder / "kafka", free_port()))
        return made[-1]

    yield make
    for kafka in made:
        await kafka.stop()


async def test_what_was_acknowledged_outlives_everything(
    folder: Path, broker: Callable[[], EmbeddedKafka]
) -> None:
    """Records are there after a kill -9, and for a broker that takes the folder over.

    What an interrupted first start left is thrown away, and no topic comes about by asking.
    """
    half = folder / "kafka" / "data.new"
    half.mkdir(parents=True)
    (half / "meta.properties").write_text("cluster.id=half")
    kafka = await broker().start()
    assert not half.exists()
    assert await asyncio.to_thread(is_refused, kafka, "nobody-made-it")
    await asyncio.to_thread(make_topic, kafka)
    await asyncio.to_thread(publish, kafka, b"before the kill")
    await kafka.kill()
    assert kafka.pid is None
    await kafka.start()
    await asyncio.to_thread(publish, kafka, b"after the kill")
    # As after a kill -9 of its supervisor where the kernel does not end the children.
    left = kafka.pid
    assert left is not None
    second = await broker().start()
    assert not is_alive(left)
    assert await asyncio.to_thread(read, second, 2) == [b"before the kill", b"after the kill"]
