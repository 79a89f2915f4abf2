"""The record format, today's and every earlier one."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from support.payments import MOMENT, PARTITIONS, document, record

from ostatok.journal import Record, headers_of, key_of, partition_of, read

FROZEN = sorted((Path(__file__).parent / "journal").glob("*.json"))


def thawed(frozen: dict[str, Any]) -> Record:
    """A record out of its file."""
    return Record(
        frozen["partition"],
        frozen["offset"],
        frozen["timestamp_ms"],
        None if frozen["key"] is None else frozen["key"].encode(),
        None if frozen["value"] is None else frozen["value"].encode(),
        [(name, value.encode()) for name, value in frozen["headers"]],
    )


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_frozen_records_mean_the_same_for_ever(path: Path) -> None:
    """Every later version reads every earlier record. These files are never edited."""
    frozen = json.loads(path.read_text(encoding="utf-8"))
    entries, dead = read([thawed(frozen["record"])], PARTITIONS)
    if "dead" in frozen:
        assert entries == []
        assert dead[0].reason == frozen["dead"]
        return
    assert dead == []
    (one,) = entries
    found = {
        "operation_id": one.payment.operation_id,
        "amount": str(one.payment.amount),
        "inn": one.payment.inn,
        "document_number": one.payment.document_number,
        "document_date": one.payment.document_date.isoformat(),
        "received_at": one.received_at.isoformat(),
        "source": one.source,
        "request_id": one.request_id,
    }
    assert found == frozen["entry"]


def test_there_are_frozen_records() -> None:
    """An empty folder would prove nothing."""
    assert len(FROZEN) >= 4


@given(st.from_regex(r"[0-9]{10}([0-9]{2})?", fullmatch=True), st.integers(1, 500))
def test_partitions_are_those_of_kafkas_clients(inn: str, partitions: int) -> None:
    """murmur2, as Java's and aiokafka's partitioners do it."""
    theirs = DefaultPartitioner()(key_of(inn), list(range(partitions)), [])
    assert partition_of(inn, partitions) == theirs


def test_partitions_of_java() -> None:
    """Known answers of Kafka's own Utils.murmur2: 21 → -973932308, foobar → -790332482."""
    assert partition_of("21", 1 << 31) == -973932308 & 0x7FFFFFFF
    assert partition_of("foobar", 1 << 31) == -790332482 & 0x7FFFFFFF


def test_a_record_of_ours_is_read_back() -> None:
    """What the receiver writes, the stream reads: payment, time, source and request."""
    (one,), dead = read([record(document(), 7)], PARTITIONS)
    assert not dead
    assert (one.offset, one.received_at, one.source, one.request_id) == (7, MOMENT, "bank", "r-1")


def test_without_headers_the_record_time_counts() -> None:
    """Someone produced a good payment by hand: it is a payment, received when the record was."""
    (one,), dead = read([record(document(), 0, headers=[])], PARTITIONS)
    assert not dead
    assert one.received_at == datetime.fromtimestamp(1_777_000_000, UTC)
    assert one.source is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"yesterday",
        b"\xff",
        b"9999-01-01T00:00:00.000000Z",
        b"2024-02-31T00:00:00.000000Z",
        b"2024-02-28T24:00:00.000000Z",
    ],
)
def test_a_received_at_that_is_not_ours_is_not_believed(text: bytes) -> None:
    """One forged date would hold back every later date of the INN's log."""
    (one,), _ = read([record(document(), 0, headers=[("received-at", text)])], PARTITIONS)
    assert one.received_at == datetime.fromtimestamp(1_777_000_000, UTC)


@pytest.mark.parametrize("timestamp_ms", [-1, -(10**15), 10**18])
def test_any_record_time_is_a_date(timestamp_ms: int) -> None:
    """A producer may write whatever 64 bits it likes."""
    (one,), _ = read([record(document(), 0, headers=[], timestamp_ms=timestamp_ms)], PARTITIONS)
    assert 1970 <= one.received_at.year <= 2100


def test_headers_are_cut_and_cleaned() -> None:
    """A line feed in a header could forge a field of a link; a long one fill a table."""
    headers = [("request-id", b"a\nb\x00c" + b"x" * 10_000), ("source", b"\x00")]
    (one,), _ = read([record(document(), 0, headers=headers)], PARTITIONS)
    assert one.request_id == ("abc" + "x" * 125)
    assert one.source is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": None}, "no value"),
        ({"value": b"{"}, "not JSON"),
        ({"value": b'{"a": 1}'}, "is missing"),
        ({"value": b" " * 2**20}, "longer than"),
        ({"key": None}, "key"),
        ({"key": b"9876543210"}, "key"),
        ({"partition": 11}, "partition"),
        ({"headers": [("ostatok-format", b"2")]}, "format"),
    ],
)
def test_records_that_are_dead(changes: dict[str, Any], reason: str) -> None:
    """What can be no payment is kept whole, with the reason."""
    strange = record(document(), 3, **changes)
    entries, (letter,) = read([strange], PARTITIONS)
    assert entries == []
    assert letter.record == strange
    assert reason in letter.reason


def test_the_headers_of_this_version() -> None:
    """The names and forms that tools and later versions rely on."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert headers_of(source="bank", received_at=moment, request_id="r", traceparent="t") == [
        ("ostatok-format", b"1"),
        ("source", b"bank"),
        ("received-at", b"2026-01-02T03:04:05.000006Z"),
        ("request-id", b"r"),
        ("traceparent", b"t"),
    ]
