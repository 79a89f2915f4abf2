"""What the transport makes of a fetch that a rebalance overtook, or that begins behind a gap.

Such moments can't be had from a broker on demand: here the fetches are given by hand.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.payments import PARTITIONS, TOPIC

from ostatok_stream.brake import Brake
from ostatok_stream.monitoring import Monitoring
from ostatok_stream.transport import Consumer, Fetch
from ostatok_stream.watchdog import Progress


class Thread:
    """Notes where it is sent."""

    def __init__(self) -> None:
        self.sought: list[dict[int, int]] = []

    async def seek_wait(self, offsets: dict[Any, int]) -> None:
        """Go nowhere."""
        self.sought.append({tp.partition: offset for tp, offset in offsets.items()})


class HandFed(Consumer):
    """Our consumer, with a broker that is a list."""

    def __init__(self, *fetches: Any) -> None:
        self.app: Any = SimpleNamespace(
            consumer_generation_id=1,
            positions=SimpleNamespace(topic=TOPIC, partitions=PARTITIONS),
            brake=Brake(),
        )
        self.flow_active = True
        self._next_offset = {0: 60, 1: 0}
        self._seeks = 0
        self._gaps = {}
        self._read_offset = {}
        self._thread: Any = Thread()
        self.fetches = list(fetches)
        self.back = 0

    async def _wait_next_records(self, _timeout: float) -> Any:
        fetched = self.fetches.pop(0)
        if callable(fetched):
            fetched = fetched(self)
        return fetched, None

    async def _seek_back(self) -> None:
        self.back += 1

    @property
    def should_stop(self) -> bool:
        """It never does."""
        return False

    async def fetch(self) -> Fetch | None:
        """What getmany hands on of the next fetch, which is applied at once."""
        self.app.brake.release()
        async for _, message in self.getmany(1.0):
            value: Any = message.value
            return value  # type: ignore[no-any-return]
        return None


def records(partition: int, *offsets: int) -> list[Any]:
    """Records as aiokafka gives them."""
    made = {"timestamp": 0, "key": None, "value": b"", "headers": ()}
    return [SimpleNamespace(partition=partition, offset=one, **made) for one in offsets]


async def test_a_fetch_covers_what_lies_between_two_positions() -> None:
    """From where we stood to behind the last record, for each partition."""
    consumer = HandFed({0: records(0, 60, 61), 1: records(1, 0)}, {0: records(0, 62)})
    first, second = await consumer.fetch(), await consumer.fetch()
    assert first is not None
    assert second is not None
    assert first.bounds == {0: (60, 62), 1: (0, 1)}
    assert second.bounds == {0: (62, 63)}
    assert consumer._thread.sought == []


async def test_a_gap_counts_only_when_it_is_there_twice() -> None:
    """What was lost on the way is found by reading again; a transaction's marker is there again."""
    consumer = HandFed({0: records(0, 100)}, {0: records(0, 60)}, {0: records(0, 63)})
    assert await consumer.fetch() is None
    assert consumer._thread.sought == [{0: 60}]
    again = await consumer.fetch()
    assert again is not None
    assert again.bounds == {0: (60, 61)}
    assert await consumer.fetch() is None
    consumer.fetches = [{1: records(1, 0)}, {0: records(0, 63)}]
    between, lawful = await consumer.fetch(), await consumer.fetch()
    assert between is not None
    assert lawful is not None
    assert lawful.bounds == {0: (61, 64)}


async def test_a_fetch_that_a_rebalance_overtook_is_forgotten() -> None:
    """Its positions are no longer ours, and its records come again from the ledger's."""

    def overtaken(consumer: HandFed) -> dict[int, list[Any]]:
        consumer._seeks += 1
        consumer.app.consumer_generation_id = 2
        return {0: records(0, 60)}

    consumer = HandFed(overtaken)
    assert await consumer.fetch() is None
    assert consumer.back == 1


async def test_a_partition_nobody_positioned_is_not_read() -> None:
    """Without a position there is no telling what was covered."""
    consumer = HandFed({7: records(7, 5)})
    assert await consumer.fetch() is None
    assert consumer.back == 1


async def test_a_worker_without_partitions_looks_around_in_peace() -> None:
    """More workers than partitions: one has none, and nothing to commit.

    It may also be that the group's leader, which may be this one, does not know the topic yet.
    """
    asked = []
    client = SimpleNamespace(force_metadata_update=lambda: asked.append(True))
    thread = SimpleNamespace(
        _ensure_consumer=lambda: SimpleNamespace(_client=client),
        thread_loop=SimpleNamespace(call_soon_threadsafe=lambda call: call()),
    )
    monitoring: Any = Monitoring.__new__(Monitoring)
    monitoring._app = SimpleNamespace(consumer=SimpleNamespace(assignment=set, _thread=thread))
    monitoring._positions = SimpleNamespace(partitions=12)
    monitoring._progress = Progress()
    monitoring._progress.positioned(yes=True)
    await monitoring._look()
    assert asked


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_does_not_keep_a_deaf_worker_alive() -> None:
    """The end comes also when it can't be said."""
    code = (
        "import sys; from ostatok import logs; from ostatok.settings import load;"
        "from ostatok.errors import LedgerCorrupt; from ostatok_stream.ending import end_process;"
        "logs.configure(load(log_file='/dev/full', log_format='json'));"
        "sys.stderr = open('/dev/full', 'w'); end_process(LedgerCorrupt())"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 1
