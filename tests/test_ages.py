"""How old payments are, as a worker shows it: when they are committed, and while they wait."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from support.payments import (
    MOMENT,
    batch,
    dead_letter,
    document,
    entry,
    payment,
    record,
)

from ostatok.errors import JournalUnavailable
from ostatok.journal import Entry, Record
from ostatok.topic import Range
from ostatok_db.batch import Applied, Outcome
from ostatok_stream import ages
from ostatok_stream.ages import CommittedAges, OldestUnapplied

ALL_APPLIED = Applied({Outcome.APPLIED: 1}, {}, ())


def received(offset: int, seconds: float) -> Entry:
    """A payment's record that was received so long ago."""
    made = entry(payment(), offset)
    values = {name: getattr(made, name) for name in Entry.__struct_fields__}
    return Entry(**{**values, "received_at": datetime.now(UTC) - timedelta(seconds=seconds)})


def shown(histogram: CommittedAges) -> dict[str, float]:
    """The buckets by their bounds, with all that are younger; the sum, and the count."""
    (family,) = histogram.collect()
    return {one.labels.get("le", one.name): one.value for one in family.samples}


def waits(oldest: OldestUnapplied) -> dict[str, float]:
    """What is shown of each partition, in seconds."""
    (family,) = oldest.collect()
    return {one.labels["partition"]: one.value for one in family.samples}


@pytest.fixture
def histogram() -> CommittedAges:
    """Give an empty one."""
    return CommittedAges("ages_seconds", "Ages")


def test_each_payment_of_a_batch_is_counted_by_its_age(histogram: CommittedAges) -> None:
    """By the time since its receipt; dead letters are none, and a clock ahead of ours is 0."""
    histogram.observe(
        batch(received(0, 0.3), received(1, 3), received(2, -60), dead=[dead_letter(3, 0)]),
        ALL_APPLIED,
    )
    histogram.observe(batch(received(3, 40_000)), ALL_APPLIED)
    found = shown(histogram)
    assert [found[bound] for bound in ("0.01", "0.25", "0.5", "2.5", "5.0")] == [1, 1, 2, 2, 3]
    assert [found[bound] for bound in ("7200.0", "+Inf")] == [3, 4]
    assert found["ages_seconds_count"] == 4
    assert found["ages_seconds_sum"] == pytest.approx(40_003.3, abs=0.2)


def test_of_a_long_batch_some_stand_for_all(
    histogram: CommittedAges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every payment is counted once, whatever the batch's length, and about where it belongs."""
    monkeypatch.setattr(ages, "LOOKED_AT_MAX", 10)
    some = [received(offset, 0.3 if offset < 61 else 3) for offset in range(103)]
    histogram.observe(batch(*some), ALL_APPLIED)
    found = shown(histogram)
    assert found["+Inf"] == 103
    assert found["0.5"] == pytest.approx(61, abs=11)


def test_what_was_seen_before_is_not_counted_again(histogram: CommittedAges) -> None:
    """After a restart a batch can have records whose age was counted when they were applied."""
    some = [received(0, 0.3), received(1, 0.3)]
    seen = {(some[0].partition, 0): Outcome.SEEN}
    histogram.observe(batch(*some), Applied({Outcome.SEEN: 1, Outcome.APPLIED: 1}, seen, ()))
    assert shown(histogram)["+Inf"] == 1


class Records:
    """A topic whose records were all received at MOMENT; keeps what was read of it."""

    def __init__(self) -> None:
        self.read: list[dict[int, int]] = []
        self.is_there = True
        self.may_answer = Event()
        self.may_answer.set()
        self.seconds_max = 0.0

    def firsts(
        self,
        bounds: Mapping[int, tuple[int, int]],
        seconds_max: float,
    ) -> dict[int, Record]:
        """Give the record at the beginning of each range, when the test lets it."""
        self.seconds_max = seconds_max
        self.read.append({partition: first for partition, (first, _) in bounds.items()})
        self.may_answer.wait(60)
        if not self.is_there:
            raise JournalUnavailable
        return {one: record(document(), first, partition=one) for one, (first, _) in bounds.items()}


async def test_a_partition_that_keeps_up_is_never_read() -> None:
    """What came since the last look can't be older than that; where nothing waits the age is 0."""
    oldest, records = OldestUnapplied("oldest_seconds", "Oldest"), Records()
    await oldest.look({3: 10, 4: 7}, {3: Range(0, 10), 4: Range(0, 7)}, records)
    assert waits(oldest) == {"3": 0, "4": 0}
    await oldest.look({3: 10, 4: 7}, {3: Range(0, 15), 4: Range(0, 7)}, records)
    assert 0 < waits(oldest)["3"] < 5
    assert waits(oldest)["4"] == 0
    oldest.moved(3, 15)
    assert waits(oldest) == {"3": 0, "4": 0}
    assert records.read == []


async def test_a_partition_that_is_behind_has_the_age_of_its_record() -> None:
    """It is read once for each offset, also in the first look, and the age grows by itself."""
    oldest, records = OldestUnapplied("oldest_seconds", "Oldest"), Records()
    held = {3: Range(0, 90)}
    for applied in (10, 10, 20):
        await oldest.look({3: applied}, held, records)
        age = (datetime.now(UTC) - MOMENT).total_seconds()
        assert waits(oldest)["3"] == pytest.approx(age, abs=5)
    assert records.read == [{3: 10}, {3: 20}]
    before = waits(oldest)["3"]
    assert waits(oldest)["3"] > before
    oldest.moved(3, 30)
    assert waits(oldest)["3"] > before
    oldest.forget()
    oldest.moved(3, 90)
    assert waits(oldest) == {}


async def test_a_record_that_can_not_be_read_ages_from_when_it_was_missed() -> None:
    """And is asked for again at each look until it is read."""
    oldest, records = OldestUnapplied("oldest_seconds", "Oldest"), Records()
    records.is_there = False
    for _ in range(2):
        await oldest.look({3: 10}, {3: Range(0, 90)}, records)
        assert 0 < waits(oldest)["3"] < 5
    records.is_there = True
    await oldest.look({3: 10}, {3: Range(0, 90)}, records)
    assert waits(oldest)["3"] > 86_400
    assert len(records.read) == 3


async def test_a_reader_that_hangs_holds_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look has its time, whatever the reader does, and the next one takes no other thread."""
    oldest, records = OldestUnapplied("oldest_seconds", "Oldest"), Records()
    records.may_answer.clear()
    with monkeypatch.context() as patching:
        patching.setattr(ages, "LOOK_SECONDS_MAX", 0.2)
        for _ in range(2):
            async with asyncio.timeout(30):
                await oldest.look({3: 10}, {3: Range(0, 90)}, records)
            assert 0 < waits(oldest)["3"] < 30
    assert len(records.read) == 1
    assert 0 < records.seconds_max < ages.LOOK_SECONDS_MAX
    records.may_answer.set()
    await oldest.look({3: 10}, {3: Range(0, 90)}, records)
    assert waits(oldest)["3"] > 86_400
