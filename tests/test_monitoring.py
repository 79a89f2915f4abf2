"""The look around of a worker: the topic must stay the ledger's, and who waits is let be."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from support.payments import PARTITIONS, TOPIC, TOPIC_ID, document, record
from support.services import Services
from support.system import System, wait_until

from ostatok.errors import JournalMismatch, JournalUnavailable, LedgerUnavailable, SettingsError
from ostatok.journal import Record
from ostatok.settings import load
from ostatok.topic import Range, Topic, _ranges_of, check_held
from ostatok_db.ledger import check_topic
from ostatok_stream import metrics, monitoring
from ostatok_stream.monitoring import INTERVAL_SECONDS, Monitoring
from ostatok_stream.watchdog import Progress

SECONDS_MAX = 10
HELD = Range(10, 90)


class World:
    """What a look sees: one partition, a ledger, a topic, and Kafka's group."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reading_error: Exception | None = None
        self.reads_failed = 0
        self.looks = 0
        self.commits = 0
        self.name = TOPIC
        self.partitions = PARTITIONS
        self.end = HELD.end
        self.progress = Progress()
        self.consumer = self._thread = self._fetcher = self._fetch_task = self
        self.progress.positioned(yes=True)

    def assignment(self) -> set[TP]:
        """Have the partition."""
        return {TP(TOPIC, 0)}

    async def check(self) -> dict[int, tuple[int, str]]:
        """Stand at offset 50, unless somebody is away."""
        self.looks += 1
        if self.error is not None:
            raise self.error
        return {0: (50, TOPIC_ID)}

    def ranges(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Hold what is to come, of whichever partitions."""
        return dict.fromkeys(partitions, Range(HELD.earliest, self.end))

    def firsts(
        self,
        bounds: Mapping[int, tuple[int, int]],
        seconds_max: float,  # noqa: ARG002
    ) -> dict[int, Record]:
        """Have only records that were received long ago, or fail as the test wants it."""
        if self.reading_error is not None:
            self.reads_failed += 1
            raise self.reading_error
        return {one: record(document(), first, partition=one) for one, (first, _) in bounds.items()}

    def _ensure_consumer(self) -> Any:
        return SimpleNamespace(_fetcher=self, commit=None)

    def done(self) -> bool:
        """Live."""
        return False

    async def call_thread(self, *_: Any) -> None:
        """Take a commit, and never answer."""
        self.commits += 1
        await asyncio.Event().wait()


@pytest.fixture
def world() -> World:
    """Give the world that the test changes."""
    return World()


@pytest.fixture
async def looking(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Monitoring]:
    """Look at it, often."""
    monkeypatch.setattr(monitoring, "INTERVAL_SECONDS", 0.01)
    some: Any = world
    made = Monitoring(some, load(stream_metrics_port=0), some, some, some)
    await made.start()
    yield made
    await asyncio.wait_for(made.stop(), SECONDS_MAX)


async def more_looks(world: World) -> None:
    """Wait for three looks."""
    wanted = world.looks + 3
    await asyncio.to_thread(wait_until, lambda: world.looks >= wanted, "it looks", SECONDS_MAX)


async def more_reads_failed(world: World) -> None:
    """Wait for three reads of records that fail."""
    wanted = world.reads_failed + 3
    await asyncio.to_thread(wait_until, lambda: world.reads_failed >= wanted, "reads", SECONDS_MAX)


async def test_a_commit_without_end_holds_nothing_up(world: World, looking: Monitoring) -> None:
    """It is a courtesy: looks go on, no second one is begun, and the stop does not wait for it."""
    await more_looks(world)
    assert world.commits == 1
    assert not looking.crashed


@pytest.mark.parametrize("error", [JournalUnavailable(), LedgerUnavailable()])
@pytest.mark.usefixtures("looking")
async def test_a_rebalance_that_waits_is_reported(world: World, error: Exception) -> None:
    """It can't end while Kafka or Postgres is away; a new start would not help."""
    world.progress.positioned(yes=False)
    world.error = error
    began = world.progress.positioned_at
    await more_looks(world)
    assert world.progress.positioned_at > began


@pytest.mark.usefixtures("looking")
async def test_a_rebalance_that_hangs_is_not(world: World) -> None:
    """Who answers is not waited for: nothing is reported, and the watchdog's time runs."""
    world.progress.positioned(yes=False)
    began = world.progress.positioned_at
    await more_looks(world)
    assert world.progress.positioned_at == began


def oldest() -> float | None:
    """Give the age that is shown of the partition's oldest record, in seconds."""
    return REGISTRY.get_sample_value("ostatok_stream_oldest_unapplied_seconds", {"partition": "0"})


@pytest.mark.usefixtures("looking")
async def test_what_waits_is_shown_while_postgres_is_away(world: World) -> None:
    """It stands where it stood; what comes to the topic meanwhile ages as all else."""
    world.end = 50
    await more_looks(world)
    assert oldest() == 0
    world.error = LedgerUnavailable()
    world.end = 60
    await more_looks(world)
    assert (oldest() or 0) > 86_400
    assert REGISTRY.get_sample_value("ostatok_stream_assigned_partitions") == 1
    assert REGISTRY.get_sample_value("ostatok_stream_topic_partitions") == PARTITIONS


@pytest.mark.parametrize("error", [SettingsError("no file"), RuntimeError("no thread")])
async def test_a_gauge_ends_no_worker(world: World, looking: Monitoring, error: Exception) -> None:
    """Whatever the reader raises, also while Postgres is away, is said once, and looks go on."""
    world.reading_error = error
    metrics.oldest_unapplied.forget()
    with capture_logs() as events:
        for away in (None, LedgerUnavailable()):
            world.error = away
            await more_reads_failed(world)
    assert not looking.crashed
    assert 0 < (oldest() or 0) < 60
    said = [one["exc_info"] for one in events if one["event"] == "telling_failed"]
    assert said == [error]


@pytest.mark.usefixtures("looking")
async def test_nothing_is_shown_of_partitions_that_may_be_another_workers(world: World) -> None:
    """While they move this worker applies none, and knows of no age."""
    await more_looks(world)
    assert oldest() is not None
    world.progress.positioned(yes=False)
    await more_looks(world)
    assert oldest() is None
    assert REGISTRY.get_sample_value("ostatok_stream_assigned_partitions") == 0


@pytest.mark.parametrize(
    ("next_offset", "is_held"), [(9, False), (10, True), (90, True), (91, False)]
)
def test_what_a_topic_must_hold(next_offset: int, is_held: bool) -> None:
    """The ledger goes on within what is there, or where it ends."""
    if is_held:
        check_held(TOPIC, {0: HELD}, {0: next_offset})
        return
    with pytest.raises(JournalMismatch, match=f"10 to 90; .* go on at {next_offset}"):
        check_held(TOPIC, {0: HELD}, {0: next_offset})


def test_a_topic_that_is_gone_can_not_be_made_again() -> None:
    """The hint leads to what can be done; `migrate` is for a ledger that knows no topic."""
    with pytest.raises(JournalMismatch, match="There is no topic payments, and the ledger") as said:
        check_topic({0: (5, TOPIC_ID)}, topic=TOPIC, described=None)
    assert "docs/recovery.md" in str(said.value.hint)
    with pytest.raises(JournalMismatch, match="knows no topic payments") as said:
        check_topic({}, topic=TOPIC, described=None)
    assert said.value.hint == "Run `ostatok migrate`."


async def test_both_ways_to_ask_for_ranges_say_the_same(services: Services) -> None:
    """With a thread or without one; of no partition, nothing."""
    topic = Topic(services.new_settings())
    await asyncio.to_thread(topic.ensure)
    wanted = range(3)
    assert await asyncio.to_thread(topic.ranges, wanted) == await topic.ranges_async(wanted)
    assert await topic.ranges_async(wanted) == dict.fromkeys(wanted, Range(0, 0))
    assert topic.ranges([]) == await topic.ranges_async([]) == {}


def test_offsets_a_starting_broker_does_not_know_are_no_lost_tail() -> None:
    """For them librdkafka gives -1001, and no error: wait, don't end."""
    unknown = [SimpleNamespace(offset=-1001)]
    with pytest.raises(JournalUnavailable):
        _ranges_of([0], unknown, unknown)


def test_a_topic_that_lost_its_tail_ends_the_worker(services: Services, tmp_path: Path) -> None:
    """At the next look, before new records overtake the ledger's offset and none is applied."""
    with System(services.new_settings(), tmp_path) as system:
        worker = system.start_stream()
        system.sql("UPDATE applied_offset SET next_offset = 5 WHERE partition = 3 RETURNING 1")
        assert worker.wait(INTERVAL_SECONDS + 15) == 1
        said = (tmp_path / "stream.log").read_text(encoding="utf-8")
    assert "Partition 3 " in said
    assert "holds offsets 0 to 0; the ledger would go on at 5" in said
