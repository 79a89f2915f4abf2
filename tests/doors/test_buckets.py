"""How often somebody may ask, and that it costs no memory to be asked by many."""

import tracemalloc

import pytest

from ostatok_http.doors.buckets import KEYS_MAX, Buckets

GROWTH_BYTES_MAX = 1024 * 1024
DISTINCT = 5 * KEYS_MAX


class Clock:
    """One that goes when it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Say what time it is."""
        return self.now


def test_a_burst_fits_in_and_then_the_rate_counts() -> None:
    """Five at once, then one each half second; who is refused hears when to come again."""
    clock = Clock()
    buckets = Buckets(2, burst=5, clock=clock)
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 0.4
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0.0


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """However long nobody asked."""
    clock = Clock()
    buckets = Buckets(10, burst=3, clock=clock)
    for _ in range(2):
        clock.now += 86_400
        assert [buckets.take("a") == 0 for _ in range(5)] == [True] * 3 + [False] * 2


def test_who_is_refused_does_not_wait_longer_for_asking() -> None:
    """A refusal takes no token."""
    clock = Clock()
    buckets = Buckets(1, burst=1, clock=clock)
    buckets.take("a")
    for _ in range(100):
        assert buckets.take("a") == pytest.approx(1)
    clock.now += 1
    assert buckets.take("a") == 0.0


def test_however_many_clients_come_they_need_no_more_memory() -> None:
    """Whoever comes, no more than KEYS_MAX are remembered, and a busy one is not forgotten."""
    buckets = Buckets(1, burst=2, clock=Clock())
    full_bytes = 0
    tracemalloc.start()
    for number in range(DISTINCT):
        buckets.take(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
        if number % 10_000 == 0:
            busy = buckets.take("busy")
        if number == 2 * KEYS_MAX:
            full_bytes = tracemalloc.get_traced_memory()[1]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert full_bytes > 0
    assert peak_bytes - full_bytes < GROWTH_BYTES_MAX
    assert len(buckets) <= KEYS_MAX
    assert busy > 0
