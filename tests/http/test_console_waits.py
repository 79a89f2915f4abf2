"""Since when the oldest record of a partition waits, as the console finds out."""

from collections.abc import Mapping
from datetime import timedelta
from threading import Event

import pytest
from support.looking import AT, Waiting
from support.webhooks import NoRecords

from ostatok.journal import Record
from ostatok.topic import Range
from ostatok_http.console import waits
from ostatok_http.console.waits import Waits

SECONDS_MAX = 10


async def test_a_record_is_read_once_and_only_when_it_was_there_before() -> None:
    """Of a partition that keeps up nothing is read; bounded by what the topic holds."""
    records, hour_ago = Waiting(), AT - timedelta(hours=1)
    ages = Waits(records)
    assert await ages.look(AT, {0: 5, 1: 9}, dict.fromkeys((0, 1), Range(0, 9))) == {0: hour_ago}
    assert records.asked.pop() == {0: (5, 9)}
    # It stands still: known. The other one has got something new, as did a third that came.
    assert await ages.look(AT, {0: 5, 1: 9}, dict.fromkeys((0, 1), Range(0, 12))) == {
        0: hour_ago,
        1: AT,
    }
    assert not records.asked
    # Both move on, one of them less than was there at the look before.
    later = AT + timedelta(seconds=2)
    found = await ages.look(later, {0: 11, 1: 12}, dict.fromkeys((0, 1), Range(0, 20)))
    assert (found, records.asked.pop()) == ({0: hour_ago, 1: later}, {0: (11, 20)})
    # Retention has taken some of it, or all.
    ages.forget()
    held = {0: Range(15, 20), 1: Range(20, 20)}
    assert await ages.look(later, {0: 11, 1: 12}, held) == {0: hour_ago}
    assert records.asked == [{0: (15, 20)}]


async def test_a_reading_that_takes_too_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor are there two of them; and how long the record waits is unknown."""
    monkeypatch.setattr(waits, "READ_SECONDS_MAX", 0.05)
    may_end, begun = Event(), list[int]()

    class Slow(NoRecords):
        def firsts(self, bounds: Mapping[int, tuple[int, int]]) -> dict[int, Record]:  # noqa: ARG002
            begun.append(1)
            may_end.wait(SECONDS_MAX)
            return {}

    ages = Waits(Slow())
    for _ in range(3):
        assert await ages.look(AT, {0: 5}, {0: Range(0, 9)}) == {}
    assert len(begun) == 1
    may_end.set()
