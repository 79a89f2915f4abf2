"""Payments to measure with: made from a seed, written to a topic as the receiver writes them."""

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Producer

from ostatok.journal import PARTITIONER, headers_of, key_of
from ostatok.local.bodies import organization_inn
from ostatok.settings import Settings

QUEUED_MAX = 100_000
REPEATED_MAX = 200_000
"""Operations that may be repeated: the first ones. All of ten million would be gigabytes."""

UNREADABLE = b"no payment"


@dataclass(frozen=True, slots=True)
class Mix:
    """How many payments of what kind."""

    payments: int
    organizations: int = 10_000
    duplicates: float = 0.0
    """The share that repeats an earlier one, byte for byte."""
    conflicts: float = 0.0
    """The share that repeats an earlier operation with another amount."""
    unreadable: float = 0.0
    """The share that can be no payment."""
    busiest: float = 0.0
    """The share of one organization, beside what falls to it as to any other."""


def bodies(mix: Mix, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Give (INN, body of the webhook) of each. The INNs are the same whatever the seed."""
    pick, whose = random.Random(seed), random.Random(mix.organizations)
    inns = [organization_inn(whose) for _ in range(mix.organizations)]
    repeats = mix.duplicates + mix.conflicts
    sent: list[tuple[str, str]] = []
    for _ in range(mix.payments):
        roll = pick.random()
        if roll >= 1 - mix.unreadable:
            yield pick.choice(inns), UNREADABLE
            continue
        if sent and roll < repeats:
            inn, operation_id = pick.choice(sent)
            kopecks = _kopecks(operation_id) + (roll >= mix.duplicates)
        else:
            is_busiest = mix.busiest and pick.random() < mix.busiest
            inn = inns[0] if is_busiest else pick.choice(inns)
            operation_id = str(uuid.UUID(int=pick.getrandbits(128), version=4))
            kopecks = _kopecks(operation_id)
            if repeats and len(sent) < REPEATED_MAX:
                sent.append((inn, operation_id))
        yield inn, body(inn, operation_id, kopecks)


def body(inn: str, operation_id: str, kopecks: int) -> bytes:
    """The webhook's body."""
    document = {
        "operation_id": operation_id,
        "amount": f"{kopecks // 100}.{kopecks % 100:02}",
        "payer_inn": inn,
        "document_number": f"PAY-{operation_id[:8]}",
        "document_date": "2026-04-27T21:00:00Z",
    }
    return json.dumps(document).encode()


def _kopecks(operation_id: str) -> int:
    return int(operation_id[:6], 16) + 1


def fill(settings: Settings, mix: Mix, seed: int = 1) -> None:
    """Write them to the topic, and return when the broker has them all. Blocks."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "linger.ms": 5,
            "queue.buffering.max.messages": 2 * QUEUED_MAX,
        }
    )
    for number, (inn, value) in enumerate(bodies(mix, seed)):
        headers = headers_of(
            source="bank", received_at=datetime.now(UTC), request_id=f"{number:032x}"
        )
        producer.produce(settings.topic, value, key_of(inn), headers=headers)  # type: ignore[arg-type]
        while len(producer) > QUEUED_MAX:
            producer.poll(0.1)
    left = producer.flush(60)
    assert not left, f"{left} payments did not reach the broker"
