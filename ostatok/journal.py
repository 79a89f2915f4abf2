"""The journal: how a payment lies in the Kafka topic, and what any record of it means.

Value: the webhook's body as it came. Key: the payer's INN. Partition: murmur2(key) mod N, which is
what Java's and aiokafka's clients do and librdkafka does when told ``partitioner=murmur2_random``.
Every later version reads every earlier record; ``tests/journal`` keeps frozen ones.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from aiokafka.partitioner import murmur2

from ostatok.errors import InvalidPayment
from ostatok.payment import CONTROL_CHARACTER, EARLIEST, LATEST, Payment, parse

FORMAT = b"1"
PARTITIONER = "murmur2_random"
HEADER_CHARACTERS_MAX = 128
"""What is read of a source or a request id; the rest stays in the journal."""

SIGNED = "signed"
"""The header with the signed body (a JWT) that the value was in, byte for byte as it came."""

POSITION_PATTERN = r"([0-9]{1,5}):([0-9]{1,18})"
"""``<partition>:<offset>``: what fits into Postgres's integer and bigint."""
RFC3339_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
"""What :func:`rfc3339` writes."""

_encode = msgspec.json.Encoder(decimal_format="number").encode

Headers = Sequence[tuple[str, bytes | None]]


class Record(msgspec.Struct, frozen=True):
    """One record of the topic, whoever wrote it."""

    partition: int
    offset: int
    timestamp_ms: int
    """The record's create time, milliseconds of the Unix epoch; -1 when the writer gave none."""
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    """None when they can't be read: a name among them is no UTF-8."""


class Entry(msgspec.Struct, frozen=True):
    """A record that is a payment: what the ledger applies."""

    partition: int
    offset: int
    payment: Payment
    received_at: datetime
    """The time of the ledger, UTC: when the receiver took the webhook."""
    source: str | None
    request_id: str | None
    record: Record


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that can't be a payment, kept whole, with the reason."""

    record: Record
    reason: str
    received_at: datetime
    request_id: str | None = None


def key_of(inn: str) -> bytes:
    """The record key of an INN."""
    return inn.encode("ascii")


@lru_cache(maxsize=100_000)
def partition_of(inn: str, partitions: int) -> int:
    """The partition an INN belongs to, of ``partitions``."""
    return int((murmur2(key_of(inn)) & 0x7FFFFFFF) % partitions)


def read_position(text: str) -> tuple[int, int]:
    """Read a place as receipts name it: ``<partition>:<offset>``. Raises ValueError."""
    found = _match_position(text)
    if found is None:
        raise ValueError("must be a partition and an offset, such as 7:4711")
    return int(found[1]), int(found[2])


def headers_of(
    *,
    source: str | None,
    received_at: datetime,
    request_id: str | None,
    traceparent: str | None = None,
    signed: bytes | None = None,
) -> list[tuple[str, bytes]]:
    """The headers of a record of this version; None for what nobody gave."""
    headers = [("ostatok-format", FORMAT)]
    if source is not None:
        headers.append(("source", source.encode()))
    headers.append(("received-at", rfc3339(received_at).encode()))
    if request_id is not None:
        headers.append(("request-id", request_id.encode()))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    if signed is not None:
        headers.append((SIGNED, signed))
    return headers


def body_of(payment: Payment) -> bytes:
    """A value that reads as this payment: not the bank's bytes, and the same content."""
    return _encode(
        {
            "operation_id": payment.operation_id,
            "amount": payment.amount,
            "payer_inn": payment.inn,
            "document_number": payment.document_number,
            "document_date": rfc3339(payment.document_date),
        }
    )


def read(records: Iterable[Record], partitions: int) -> tuple[list[Entry], list[DeadLetter]]:
    """Say of each record what it is. Depends on nothing but the records and ``partitions``."""
    entries: list[Entry] = []
    dead: list[DeadLetter] = []
    for record in records:
        headers = dict(record.headers or ())
        received_at = _received_at(headers, record.timestamp_ms)
        try:
            payment = _payment(record, headers, partitions)
        except InvalidPayment as error:
            request_id = _text(headers, "request-id")
            dead.append(DeadLetter(record, str(error), received_at, request_id))
        else:
            entries.append(
                Entry(
                    record.partition,
                    record.offset,
                    payment,
                    received_at,
                    _text(headers, "source"),
                    _text(headers, "request-id"),
                    record,
                )
            )
    return entries, dead


def _payment(record: Record, headers: dict[str, bytes | None], partitions: int) -> Payment:
    if record.headers is None:
        raise InvalidPayment({"": "the name of a header is not UTF-8"})
    if headers.get("ostatok-format", FORMAT) != FORMAT:
        raise InvalidPayment({"": "the header ostatok-format names a format unknown here"})
    if record.value is None:
        raise InvalidPayment({"": "the record has no value"})
    payment = parse(record.value)
    if record.key != key_of(payment.inn):
        raise InvalidPayment({"": "the record's key is not the payer's INN"})
    if record.partition != partition_of(payment.inn, partitions):
        raise InvalidPayment({"": "the INN does not belong to this partition"})
    return payment


_match_position = re.compile(POSITION_PATTERN).fullmatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP_MS_MAX = int(LATEST.timestamp() * 1000) - 1
_match_rfc3339 = re.compile(RFC3339_PATTERN).fullmatch


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: ``2024-04-27T21:00:00.000000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def _received_at(headers: dict[str, bytes | None], timestamp_ms: int) -> datetime:
    """Give the header when it is one of ours, else the record's timestamp, held to the years."""
    text = _text(headers, "received-at")
    if text is not None and _match_rfc3339(text):
        try:
            received_at = datetime.fromisoformat(text)
        except ValueError:
            pass  # 31 February: not one of ours after all.
        else:
            if EARLIEST <= received_at < LATEST:
                return received_at
    return _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, 0), _TIMESTAMP_MS_MAX))


def _text(headers: dict[str, bytes | None], name: str) -> str | None:
    """A header as text: no control characters, cut to the limit; None when nothing is left."""
    value = headers.get(name)
    if value is None:
        return None
    text = value[: 4 * HEADER_CHARACTERS_MAX].decode(errors="replace")
    if not text.isprintable():  # No control character is; this is sooner told than searched.
        text = CONTROL_CHARACTER.sub("", text)
    return text[:HEADER_CHARACTERS_MAX] or None
