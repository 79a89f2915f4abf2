"""What is left after a run: the topic read in order, the ledger's rows, the clients' book."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from support.foreign import NAMELESS
from support.payments import PARTITIONS

from chaos.book import Book
from chaos.stage import Stage
from ostatok import journal
from ostatok.journal import Entry, Record
from ostatok.settings import Settings
from ostatok_db.batch import Outcome

Position = tuple[int, int]
"""(partition, offset)"""

_OUTCOMES = """
    SELECT partition, "offset", 'applied' FROM payment UNION ALL
    SELECT partition, "offset", outcome FROM duplicate UNION ALL
    SELECT partition, "offset", 'dead' FROM dead_letter"""
SILENCE_SECONDS_MAX = 60.0
"""How long the topic may give nothing while it is read."""
POLL_SECONDS = 0.5
"""``consume`` waits so long for as many as it was asked for, also when there are no more."""


@dataclass(slots=True)
class Evidence:
    """Everything the invariants are checked on."""

    stage: Stage
    book: Book
    ends: dict[int, int]
    records: dict[Position, Record]
    entries: dict[Position, Entry]
    outcomes: dict[Position, list[Outcome]]
    of_operation: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Look into the ledger."""
        return self.stage.view.sql(statement)

    def story(self, operation_id: str) -> Iterator[str]:
        """All that is known of an operation."""
        yield f"The story of {operation_id}:"
        for attempt in self.book.attempts.get(operation_id, []):
            yield f"  client  {attempt}"
        for entry in self.of_operation.get(operation_id, []):
            place = (entry.partition, entry.offset)
            found = ", ".join(self.outcomes.get(place, [])) or "NO OUTCOME"
            paid = entry.payment
            yield (
                f"  topic   {place[0]}:{place[1]} at {entry.received_at:%H:%M:%S.%f}  "
                f"{paid.inn} {paid.amount}: {found}"
            )
        for table in ("payment", "balance_log", "duplicate"):
            rows = self.stage.view.sql(
                f"SELECT t::text FROM {table} t WHERE operation_id = %s::uuid", operation_id
            )
            for (row,) in rows:
                yield f"  ledger  {table} {row}"


def collect(stage: Stage, book: Book) -> Evidence:
    """Read the whole topic and the outcomes. Blocks."""
    ends = stage.view.ends()
    records = {(one.partition, one.offset): one for one in _read_topic(stage.direct, ends)}
    in_order = [records[place] for place in sorted(records)]
    entries, _ = journal.read(in_order, PARTITIONS)
    outcomes: dict[Position, list[Outcome]] = defaultdict(list)
    for partition, offset, outcome in stage.view.sql(_OUTCOMES):
        outcomes[partition, offset].append(Outcome(outcome))
    by_place = {(entry.partition, entry.offset): entry for entry in entries}
    evidence = Evidence(stage, book, ends, records, by_place, outcomes)
    for entry in entries:
        evidence.of_operation[entry.payment.operation_id].append(entry)
    return evidence


def _read_topic(settings: Settings, ends: dict[int, int]) -> Iterator[Record]:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "chaos-evidence",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    open_partitions = {partition for partition, end in ends.items() if end}
    consumer.assign([TopicPartition(settings.topic, one, 0) for one in open_partitions])
    give_up_at = time.monotonic() + SILENCE_SECONDS_MAX
    try:
        while open_partitions:
            assert time.monotonic() < give_up_at, "the topic could not be read to its end"
            for message in consumer.consume(5_000, POLL_SECONDS):
                give_up_at = time.monotonic() + SILENCE_SECONDS_MAX
                partition = message.partition()
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_partitions.discard(partition)
                    continue
                yield _record(message)
    finally:
        consumer.close()


def _record(message: Any) -> Record:
    key = message.key()
    # With a name in them that is no UTF-8 they crash the interpreter when looked at.
    headers = None if key == NAMELESS else message.headers() or []
    timestamp_ms = message.timestamp()[1]
    return Record(
        message.partition(), message.offset(), timestamp_ms, key, message.value(), headers
    )
