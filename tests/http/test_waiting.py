"""Waiting for the ledger, and for an answer that is no older than the question."""

import asyncio

import pytest
from support.payments import PARTITIONS, TOPIC_ID
from support.webhooks import EmptyLedger

from ostatok.errors import LedgerUnavailable
from ostatok_http import progress as progress_module
from ostatok_http.next_flight import NextFlight
from ostatok_http.progress import Progress


class LedgerAt(EmptyLedger):
    """A ledger that stands where the test says."""

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset
        self.error: Exception | None = None

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Stand there in every partition."""
        if self.error is not None:
            raise self.error
        return dict.fromkeys(range(PARTITIONS), (self.next_offset, TOPIC_ID))


def soon(seconds: float = 5) -> float:
    """A time of the loop."""
    return asyncio.get_running_loop().time() + seconds


async def test_who_comes_while_the_last_poll_ends_is_polled_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In whichever turn of the loop that is: nobody waits for a poll that is over."""
    monkeypatch.setattr(progress_module, "POLL_SECONDS", 0)
    for turns in range(12):
        waits = Progress(LedgerAt(5), waiting_max=10)
        assert await waits.reach(0, 5, soon())
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await asyncio.wait_for(waits.reach(0, 5, soon()), 1)
        waits.close()


async def test_each_is_told_when_it_has_come_so_far() -> None:
    """Or when the time is over; more than may wait are told at once that it has not."""
    ledger = LedgerAt(5)
    waits = Progress(ledger, waiting_max=2)
    first, second = (asyncio.create_task(waits.reach(0, offset, soon())) for offset in (7, 6))
    await asyncio.sleep(0)
    assert not await asyncio.wait_for(waits.reach(0, 6, soon(60)), 1)
    ledger.next_offset = 6
    assert await second
    assert not first.done()
    assert not await waits.reach(0, 7, soon(0.01))
    ledger.next_offset = 7
    assert await first
    waits.close()


async def test_an_error_is_everybodys() -> None:
    """And the next who comes is polled for again."""
    ledger = LedgerAt(5)
    waits = Progress(ledger, waiting_max=10)
    ledger.error = LedgerUnavailable()
    for _ in range(2):
        both = [waits.reach(0, 6, soon()) for _ in range(2)]
        assert all(
            isinstance(one, LedgerUnavailable)
            for one in await asyncio.gather(*both, return_exceptions=True)
        )
    ledger.error = None
    assert await waits.reach(0, 5, soon())
    waits.close()


async def test_at_the_stop_nobody_waits_any_more() -> None:
    """A webhook that the journal has gets its 200 within the drain."""
    waits = Progress(LedgerAt(5), waiting_max=10)
    waiting = asyncio.create_task(waits.reach(0, 6, soon(60)))
    await asyncio.sleep(0)
    waits.give_up()
    assert not await asyncio.wait_for(waiting, 1)
    assert not await asyncio.wait_for(waits.reach(0, 6, soon(60)), 1)
    waits.close()


async def test_no_answer_is_older_than_its_question() -> None:
    """Who asks while one is under way shares the next; one at a time; an error is no answer."""
    asked, may_answer = 0, asyncio.Event()
    most = under_way = 0

    async def ask() -> int:
        nonlocal asked, under_way, most
        asked += 1
        number, under_way = asked, under_way + 1
        most = max(most, under_way)
        await may_answer.wait()
        under_way -= 1
        if number == 3:
            raise LedgerUnavailable
        return number

    flight = NextFlight(ask)
    first = asyncio.create_task(flight.answer())
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(flight.answer()) for _ in range(5)]
    gone = later.pop()
    await asyncio.sleep(0.01)
    gone.cancel()
    may_answer.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 4
    assert (asked, most) == (2, 1)
    with pytest.raises(LedgerUnavailable):
        await flight.answer()
    assert await flight.answer() == 4
    flight.close()
