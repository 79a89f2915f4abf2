"""Reading ranges of the topic, outside of any group."""

from typing import Any

import pytest
from confluent_kafka import Consumer
from support.foreign import HOME, INN, produce, produce_nameless, strange_records
from support.payments import PARTITIONS, body
from support.services import Services

from ostatok import journal, record_reader
from ostatok.errors import JournalUnavailable
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic of its own."""
    given = services.new_settings()
    Topic(given).ensure()
    return given


def test_ranges_are_read_whole_and_no_further(settings: Settings) -> None:
    """Of each partition what was asked for, in order; while others go on writing behind it."""
    other = (HOME + 1) % PARTITIONS
    for partition in (HOME, other):
        many = [{"key": INN, "value": b"%d" % at, "partition": partition} for at in range(100)]
        produce(settings, many)
    records = RecordReader(settings, "test").read_all({HOME: (10, 60), other: (0, 1), 5: (0, 0)})
    assert [one.offset for one in records if one.partition == HOME] == list(range(10, 60))
    assert next(one.value for one in records if one.partition == HOME) == b"10"
    assert [(one.offset, one.value) for one in records if one.partition == other] == [(0, b"0")]


def test_whatever_lies_there_is_read_as_the_stream_reads_it(settings: Settings) -> None:
    """Records that nobody of ours wrote, and one with a header name that is no UTF-8."""
    strange = strange_records()
    produce(settings, [{"partition": HOME, **one} for one in strange])
    produce_nameless(settings, HOME)
    produce(settings, [{"key": INN, "value": body(payer_inn=INN), "partition": HOME}])
    held = Topic(settings).ranges(range(PARTITIONS))
    bounds = {partition: (one.earliest, one.end) for partition, one in held.items()}
    records = RecordReader(settings, "test").read_all(bounds)
    assert len(records) == len(strange) + 2
    nameless = next(one for one in records if one.headers is None)
    entries, dead = journal.read(records, PARTITIONS)
    assert len(entries) == 1
    assert "the name of a header is not UTF-8" in {one.reason for one in dead}
    assert nameless.value == b"{}"
    assert [("a", None), ("", b"\xff\x00")] in [list(one.headers or ()) for one in records]


def test_an_offset_that_is_gone_is_no_empty_range(settings: Settings) -> None:
    """What can't be read is not passed over."""
    produce(settings, [{"key": INN, "value": b"{}", "partition": HOME}])
    with pytest.raises(JournalUnavailable, match="out of range"):
        RecordReader(settings, "test").read_all({HOME: (5, 9)})


def test_the_first_of_each_range_has_its_time(settings: Settings) -> None:
    """What has not come by then is left out; without a limit it is waited for."""
    produce(settings, [{"key": INN, "value": b"%d" % at, "partition": HOME} for at in range(3)])
    reader = RecordReader(settings, "test")
    assert reader.firsts({HOME: (1, 3)}, 0) == {}
    assert {one: record.value for one, record in reader.firsts({HOME: (1, 3)}).items()} == {
        HOME: b"1"
    }


def test_who_wants_first_records_alone_fetches_little(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record of each partition that has one there, longer than a fetch or not."""
    fetched: list[int] = []

    class Seen(Consumer):
        def __init__(self, config: dict[str, Any]) -> None:
            fetched.append(config["max.partition.fetch.bytes"])
            super().__init__(config)

    monkeypatch.setattr(record_reader, "Consumer", Seen)
    long = b"x" * 100_000
    produce(settings, [{"key": INN, "value": long, "partition": HOME} for _ in range(3)])
    reader = RecordReader(settings, "test")
    found = reader.firsts({HOME: (1, 3), (HOME + 1) % PARTITIONS: (0, 0)})
    assert [(one.offset, one.value) for one in found.values()] == [(1, long)]
    assert len(reader.read_all({HOME: (0, 3)})) == 3
    assert fetched == [record_reader.FIRST_BYTES_MAX, record_reader.PARTITION_BYTES_MAX]
