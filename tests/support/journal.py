"""A topic with every kind of record in it, and a ledger made of it, without a process of ours."""

import asyncio
import json
import random
from typing import Any

from ostatok import journal
from ostatok.journal import headers_of, partition_of
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.batch import Batch, slices_of
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.migrate import adopt_topic
from support.foreign import produce, strange_records
from support.payments import MOMENT, PARTITIONS, document
from support.services import Services

INNS = ["1234567890", "770412345608", "7707083893", "5001007322", "500100732259"]


def webhook(paid: dict[str, Any], request_id: str = "r") -> dict[str, Any]:
    """A record as our receiver writes it."""
    headers = headers_of(source="bank", received_at=MOMENT, request_id=request_id)
    return {"key": paid["payer_inn"], "value": json.dumps(paid).encode(), "headers": headers}


def deliveries(pick: random.Random, many: int) -> list[dict[str, Any]]:
    """What a bank sends: new payments, repeated and changed ones; and what strangers wrote."""
    paid = [document(payer_inn=inn, amount=pick.randrange(1, 10**6)) for inn in INNS]
    records = [webhook(one) for one in paid]
    for number in range(many):
        roll = pick.random()
        if roll < 0.7:
            paid.append(document(payer_inn=pick.choice(INNS), amount=pick.randrange(1, 10**6)))
            records.append(webhook(paid[-1], f"r-{number}"))
        elif roll < 0.85:
            records.append(webhook(pick.choice(paid), f"r-{number}"))
        else:
            changed = {**pick.choice(paid), "document_number": f"PAY-{number}"}
            records.append(webhook(changed, f"r-{number}"))
    return records + [one for one in strange_records() if "key" in one]


def make_topic(settings: Settings, records: list[dict[str, Any]]) -> None:
    """Write the records into a topic, and let the ledger know it."""
    topic_id, partitions = Topic(settings).ensure()
    adopt_topic(settings, topic_id=topic_id, partitions=partitions)
    produce(settings, records)


def filled(services: Services, seed: int) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    settings = services.new_settings()
    make_topic(settings, deliveries(random.Random(seed), 200))
    asyncio.run(apply_topic(settings))
    return settings


async def apply_topic(settings: Settings, only: int | None = None) -> None:
    """Apply everything that the topic, or one partition, has beyond the ledger's offsets."""
    topic_id, partitions = Topic(settings).ensure()
    ledger = await Ledger.connect(conninfo(settings, name="test", writes=True))
    try:
        stored = await ledger.offsets(settings.topic)
        stored = {one: at for one, at in stored.items() if only in (None, one)}
        held = Topic(settings).ranges(stored)
        bounds = {one: (stored[one][0], held[one].end) for one in stored}
        entries, dead = journal.read(RecordReader(settings, "test").read_all(bounds), partitions)
        slices = slices_of(entries, dead, bounds)
        await ledger.apply(Batch(settings.topic, topic_id, slices))
    finally:
        await ledger.close()


def home_of(inn: str) -> int:
    """The partition of an INN."""
    return partition_of(inn, PARTITIONS)
