"""Payments, bodies and records to feed what is tested."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from ostatok.journal import DeadLetter, Entry, Record, headers_of, key_of, partition_of
from ostatok.payment import Payment
from ostatok_db.batch import Batch, Slice

PARTITIONS = 12
TOPIC = "payments"
TOPIC_ID = "test-topic-id"
MOMENT = datetime(2026, 4, 27, 21, 0, tzinfo=UTC)

README_PAYMENT: dict[str, Any] = {
    "operation_id": "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a",
    "amount": 145000,
    "payer_inn": "1234567890",
    "document_number": "PAY-328",
    "document_date": "2024-04-27T21:00:00Z",
}


def document(**changes: Any) -> dict[str, Any]:
    """The README's payment with a new operation id, changed."""
    return {**README_PAYMENT, "operation_id": str(uuid.uuid4()), **changes}


def body(**changes: Any) -> bytes:
    """The same as it would be posted."""
    return msgspec.json.encode(document(**changes))


def payment(**changes: Any) -> Payment:
    """A payment, with a new operation id unless given."""
    values: dict[str, Any] = {
        "operation_id": str(uuid.uuid4()),
        "amount": Decimal("145000.00"),
        "inn": "1234567890",
        "document_number": "PAY-328",
        "document_date": datetime(2024, 4, 27, 21, 0, tzinfo=UTC),
    }
    return Payment(**{**values, **changes})


def entry(paid: Payment, offset: int, *, minutes: int = 0, partition: int | None = None) -> Entry:
    """A record of the payment, received ``minutes`` after MOMENT."""
    lies_in = partition_of(paid.inn, PARTITIONS) if partition is None else partition
    received_at = MOMENT + timedelta(minutes=minutes)
    raw = Record(lies_in, offset, 0, key_of(paid.inn), b"{}", ())
    return Entry(lies_in, offset, paid, received_at, "bank", f"request-{offset}", raw)


def batch(
    *entries: Entry,
    dead: Sequence[DeadLetter] = (),
    topic_id: str = TOPIC_ID,
    first: int | None = None,
) -> Batch:
    """A batch of records, each partition's slice reaching from ``first``, or just around them."""
    by_partition: dict[int, tuple[list[Entry], list[DeadLetter]]] = {}
    for one in entries:
        by_partition.setdefault(one.partition, ([], []))[0].append(one)
    for letter in dead:
        by_partition.setdefault(letter.record.partition, ([], []))[1].append(letter)
    slices = []
    for partition, (some, letters) in by_partition.items():
        offsets = [one.offset for one in some] + [one.record.offset for one in letters]
        begins = min(offsets) if first is None else first
        slices.append(Slice(partition, begins, max(offsets) + 1, some, letters))
    return Batch(TOPIC, topic_id, slices)


def dead_letter(partition: int, offset: int, value: bytes | None = b"{") -> DeadLetter:
    """A record that is no payment."""
    record = Record(partition, offset, 1_777_000_000_000, None, value, [("source", b"\xff")])
    return DeadLetter(record, "is not JSON", MOMENT)


def record(paid: dict[str, Any], offset: int, **changes: Any) -> Record:
    """A record as our receiver writes it."""
    inn = str(paid["payer_inn"])
    values: dict[str, Any] = {
        "partition": partition_of(inn, PARTITIONS),
        "offset": offset,
        "timestamp_ms": 1_777_000_000_000,
        "key": key_of(inn),
        "value": msgspec.json.encode(paid),
        "headers": headers_of(source="bank", received_at=MOMENT, request_id="r-1"),
    }
    return Record(**{**values, **changes})
