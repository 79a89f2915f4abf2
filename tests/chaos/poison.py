"""Records that no receiver wrote: whoever has a Kafka client may write them between the others."""

import asyncio
import os
import random
import subprocess
import sys
from typing import Any

from confluent_kafka import Producer
from support.payments import PARTITIONS, body

from ostatok.journal import PARTITIONER, partition_of
from ostatok.settings import Settings

INN = "7707083893"
NAMELESS = b"nameless"
"""The key of records with a header name that is no UTF-8: nobody may look at their headers."""

_NAMELESS = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Name(str):
    def encode(self, *_):
        return bytes([255, 254])

async def main(servers, topic, key, partition):
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(
            topic, b"{}", key=key.encode(), partition=int(partition), headers=[(Name("x"), b"1")]
        )

asyncio.run(main(*sys.argv[1:]))
"""


def strange_records() -> list[dict[str, Any]]:
    """One of each kind; all of them must become dead letters."""
    home = partition_of(INN, PARTITIONS)
    return [
        {"key": INN, "value": None},
        {"key": INN, "value": b"{"},
        {"key": INN, "value": b"\xff\xfe\x00"},
        {"key": INN, "value": b"[" * 10_000},
        {"key": "1234567890", "value": body(payer_inn=INN)},
        {"value": body(payer_inn=INN), "partition": home},
        {"key": INN, "value": body(payer_inn=INN), "partition": (home + 1) % PARTITIONS},
        {"key": b"\xff\x00", "value": b"\x00", "headers": [("a", None), ("", b"\xff\x00")]},
        {"key": INN, "value": body(payer_inn=INN), "headers": [("ostatok-format", b"9")]},
    ]


async def produce(settings: Settings, pick: random.Random) -> None:
    """Write one of each kind, in an order by chance."""
    records = strange_records()
    pick.shuffle(records)
    await asyncio.to_thread(_produce, settings, records)
    await asyncio.to_thread(_produce_nameless, settings, pick.randrange(PARTITIONS))


def _produce(settings: Settings, records: list[dict[str, Any]]) -> None:
    config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "partitioner": PARTITIONER,
        "log_level": 0,
    }
    producer = Producer(config)
    for one in records:
        producer.produce(settings.topic, **one)
    producer.flush(30)


def _produce_nameless(settings: Settings, partition: int) -> None:
    # Only aiokafka's pure Python can be made to write such a thing.
    environment = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
    arguments = (settings.kafka_bootstrap_servers, settings.topic, NAMELESS.decode())
    program = [sys.executable, "-c", _NAMELESS, *arguments, str(partition)]
    subprocess.run(program, env=environment, check=False, timeout=60, capture_output=True)
