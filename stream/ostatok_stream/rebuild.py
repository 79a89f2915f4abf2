"""``ostatok rebuild``: makes the ledger anew from the first offset, beside the live one.

In a schema of its own, while the live one goes on. The two are compared, and the second may be put
in the place of the live one. A topic that takes the place of a lost one can be built from as well.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from ostatok.errors import JournalMismatch, LedgerError
from ostatok.pace import Pace, Say
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.ledger import check_topic
from ostatok_db.migrate import adopt_topic, migrate
from ostatok_db.second import Difference, Pair
from ostatok_stream.builder import Builder
from ostatok_stream.new_topic import check_new

BEHIND_RECORDS_MAX = 5_000
"""How far behind the second ledger may be when a swap begins: it catches up under the locks."""

CATCH_UP_RECORDS_MAX = 20_000
"""How much a swap applies under its locks."""

ROUNDS_MAX = 100
"""How often a rebuild comes to where the live ledger was when that began."""

SWAPS_MAX = 10
"""How often it tries to lock."""

CATCH_UP_SECONDS_MAX = 20
"""How long a swap may hold its locks: workers and reads wait for them."""

PAUSE_SECONDS = 1.0
"""Between two tries to lock."""

Offsets = Mapping[int, int]


class Rebuilt(msgspec.Struct):
    """What a rebuild came to."""

    offsets: Offsets
    """Partition → how far the second ledger is."""
    differences: list[Difference]
    swapped: bool = False
    finished: bool = True
    """False: it was told to stop; the next one goes on."""
    is_before_left: bool = False
    """The ledger that was replaced could not be dropped."""


class Wanted(msgspec.Struct, frozen=True):
    """What to do besides building and comparing."""

    swap: bool = False
    keep: bool = False
    """With ``swap``: keep what was live, in a schema of its own."""
    fresh: bool = False
    """Begin at the first offset, even when an earlier rebuild came further."""
    new_topic: bool = False
    """The ledger's own topic is lost, and another is in its place."""


async def rebuild(settings: Settings, wanted: Wanted, say: Say, stop: asyncio.Event) -> Rebuilt:
    """Build, compare, and swap if that is wanted, saying how far it is.

    Raises :class:`JournalMismatch` when the topic is not the ledger's or lacks its beginning,
    LedgerError when a swap is not possible, and LedgerUnavailable or JournalUnavailable for who is
    away: the next rebuild goes on where this one was.
    """
    topic = Topic(settings)
    pair = await asyncio.to_thread(Pair.connect, settings, new_topic=wanted.new_topic)
    try:
        with pair.alone():
            if wanted.swap:
                await asyncio.to_thread(pair.require_no_before)
            await asyncio.to_thread(pair.check)
            described = await asyncio.to_thread(_check, pair, topic, new_topic=wanted.new_topic)
            if wanted.fresh or await asyncio.to_thread(_is_of_another, pair, described[0]):
                await asyncio.to_thread(pair.drop, pair.second)
            second = settings.model_copy(update={"database_schema": pair.second})
            await asyncio.to_thread(migrate, second)
            await asyncio.to_thread(
                adopt_topic, second, topic_id=described[0], partitions=described[1]
            )
            async with Builder(second, described, pair) as builder:
                goal = _goal(pair, topic, described[1], new_topic=wanted.new_topic)
                return await _Rebuild(pair, builder, goal, wanted, say).run(stop)
    finally:
        pair.close()


def _is_of_another(pair: Pair, topic_id: str) -> bool:
    """Whether an earlier rebuild left a ledger of another topic behind."""
    return pair.second_topic() not in (None, topic_id)


def _goal(pair: Pair, topic: Topic, partitions: int, *, new_topic: bool) -> Callable[[], Offsets]:
    """Give what says how far the second ledger must come."""

    def end() -> Offsets:
        # The live one knows nothing of a new topic, and nobody applies it.
        held = topic.ranges(range(partitions))
        return {partition: there.end for partition, there in held.items()}

    return end if new_topic else lambda: pair.offsets(pair.live)


class _Rebuild:
    """One rebuild under way."""

    def __init__(
        self, pair: Pair, builder: Builder, goal: Callable[[], Offsets], wanted: Wanted, say: Say
    ) -> None:
        self._pair = pair
        self._builder = builder
        self._goal = goal
        self._wanted = wanted
        self._say = say

    async def run(self, stop: asyncio.Event) -> Rebuilt:
        """Build, compare, and swap."""
        rebuilt = Rebuilt({}, [], finished=False)
        if await self._build(stop):
            await self._builder.settle(everything=False)
            self._say("comparing with the live ledger")
            rebuilt.differences = await asyncio.to_thread(self._pair.differences)
            rebuilt.finished = not stop.is_set()
        rebuilt.offsets = await self._offsets()
        if rebuilt.finished and self._wanted.swap:
            rebuilt.finished = rebuilt.swapped = await self._swap(stop)
        if rebuilt.swapped and not self._wanted.keep:
            rebuilt.is_before_left = not await self._drop_before()
        return rebuilt

    async def _build(self, stop: asyncio.Event, *, near: int | None = None) -> bool:
        """Come to the goal, and to where that has moved until ``near`` records or less are missing.

        At least once to the goal: up to there every record that counts is there then. False when it
        was told to stop.
        """
        for _ in range(ROUNDS_MAX):
            goal = await asyncio.to_thread(self._goal)
            if not await self._build_to(goal, stop):
                return False
            if near is None or await self._behind(await asyncio.to_thread(self._goal)) <= near:
                break
        return True

    async def _build_to(self, goal: Offsets, stop: asyncio.Event) -> bool:
        offsets = await self._offsets()
        for partition, offset in offsets.items():
            if offset > goal[partition]:
                raise LedgerError(
                    f"The second ledger is at {partition}:{offset}, beyond {goal[partition]}: the "
                    "other one was restored since.",
                    hint="Begin anew with --fresh.",
                )
        bounds = {one: (offsets[one], after) for one, after in goal.items()}
        pace = Pace(await self._behind(goal), self._say)
        return await self._builder.over(bounds, pace, stop) and not stop.is_set()

    async def _offsets(self) -> Offsets:
        return await asyncio.to_thread(self._pair.offsets, self._pair.second)

    async def _behind(self, goal: Offsets) -> int:
        return sum(goal.values()) - sum((await self._offsets()).values())

    async def _swap(self, stop: asyncio.Event) -> bool:
        """Swap, once little is missing; False when it was told to stop before."""
        loop = asyncio.get_running_loop()

        def catch_up() -> None:
            asyncio.run_coroutine_threadsafe(self._catch_up(), loop).result()

        for _ in range(SWAPS_MAX):
            if not await self._build(stop, near=BEHIND_RECORDS_MAX):
                return False
            if await asyncio.to_thread(self._pair.swap, self._goal, catch_up):
                return True
            self._say("the ledger is in use; once more")
            # What waited behind the locks has its turn.
            await asyncio.sleep(PAUSE_SECONDS)
        raise LedgerError("The ledger could not be locked: long transactions are under way.")

    async def _catch_up(self) -> None:
        """Do the rest while the live ledger is locked, and not for long: a swap can be repeated."""
        late = asyncio.Event()
        asyncio.get_running_loop().call_later(CATCH_UP_SECONDS_MAX, late.set)
        behind = await self._behind(await asyncio.to_thread(self._goal))
        if behind > CATCH_UP_RECORDS_MAX or not await self._build(late):
            raise LedgerError(
                f"{behind} records came meanwhile: applying them would hold the live ledger's "
                "locks for too long. Nothing was swapped.",
                hint="The same command goes on from here, best when less comes in.",
            )
        await self._builder.settle(everything=False)
        # Before anything else counts in the place of one that is lacking.
        await asyncio.to_thread(self._pair.require_all_payments)
        await self._builder.settle(everything=True)

    async def _drop_before(self) -> bool:
        """Drop what was live; False when that failed, which changes nothing of the swap."""
        try:
            await asyncio.to_thread(self._pair.drop, self._pair.before)
        except LedgerError as error:
            self._say(f"the ledger that was replaced is still there: {error}")
            return False
        return True


def _check(pair: Pair, topic: Topic, *, new_topic: bool) -> tuple[str, int]:
    """See that the topic is the ledger's, or none of it if that is wanted, and whole."""
    stored = pair.stored()
    described = topic.describe()
    if not new_topic:
        described = check_topic(stored, topic=topic.name, described=described)
    elif described is None:
        raise JournalMismatch(
            f"There is no topic {topic.name}.",
            hint="`ostatok topic restore` makes one of a copy, `ostatok reseed` of the ledger.",
        )
    else:
        check_new(
            stored,
            topic=topic.name,
            described=described,
            own_hint="Leave --new-topic out.",
            partitions_hint="Delete it, and restore or reseed another.",
        )
    ranges = topic.ranges(range(described[1]))
    cut = {one: held.earliest for one, held in ranges.items() if held.earliest > 0}
    if cut:
        first = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(cut.items()))
        raise JournalMismatch(
            f"Topic {topic.name} lacks its beginning: what is left begins at {first}.",
            hint="A ledger made of the rest would lack the payments before. Audit what is there.",
        )
    return described
