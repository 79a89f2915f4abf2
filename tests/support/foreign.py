"""Records that no receiver of ours wrote: whoever has a Kafka client may write them."""

import json
import os
import subprocess
import sys
from typing import Any

from confluent_kafka import Producer

from ostatok.journal import PARTITIONER, partition_of
from ostatok.settings import Settings
from support.payments import PARTITIONS, body, document

INN = "7707083893"
HOME = partition_of(INN, PARTITIONS)
NAMELESS = b"nameless"
"""The key of records with a header name that is no UTF-8: nobody may look at their headers."""
MESSAGE_BYTES_MAX = 2_000_000
FLUSH_SECONDS_MAX = 30
PROGRAM_SECONDS_MAX = 60

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
    huge = json.dumps(document(payer_inn=INN, extra="x" * 1_000_000)).encode()
    return [
        {"key": INN, "value": None},
        {"key": INN, "value": b"{"},
        {"key": INN, "value": b"\xff\xfe\x00"},
        {"key": INN, "value": b"[" * 10_000},
        {"key": "1234567890", "value": body(payer_inn=INN)},
        {"value": body(payer_inn=INN), "partition": HOME},
        {"key": INN, "value": body(payer_inn=INN), "partition": (HOME + 1) % PARTITIONS},
        {"key": INN, "value": huge},
        {"key": b"\xff\x00", "value": b"\x00", "headers": [("a", None), ("", b"\xff\x00")]},
        {"key": INN, "value": body(payer_inn=INN), "headers": [("ostatok-format", b"9")]},
    ]


def produce(settings: Settings, records: list[dict[str, Any]]) -> None:
    """Write records by hand; fails unless the broker has acknowledged each of them."""
    refused: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "partitioner": PARTITIONER,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "log_level": 0,
        }
    )

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            refused.append(str(error))

    for one in records:
        producer.produce(settings.topic, **one, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(FLUSH_SECONDS_MAX) == 0, "the broker did not acknowledge in time"
    assert not refused, refused


def produce_nameless(settings: Settings, partition: int) -> None:
    """Write a record with a header name that is no UTF-8; fails unless it is there."""
    # Only aiokafka's pure Python can be made to write such a thing.
    environment = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
    arguments = (settings.kafka_bootstrap_servers, settings.topic, NAMELESS.decode())
    program = [sys.executable, "-c", _NAMELESS, *arguments, str(partition)]
    subprocess.run(
        program, env=environment, check=True, timeout=PROGRAM_SECONDS_MAX, capture_output=True
    )
