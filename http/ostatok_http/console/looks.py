"""What is seen of topic and ledger at a moment, and what several such looks tell."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from ostatok.errors import JournalMismatch, OstatokError
from ostatok.topic import Range
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Conflict, DeadRecord

RATE_LOOKS = 5
"""Looks that a rate of now is taken over."""

OUTCOMES = (Outcome.APPLIED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.DEAD)


class PartitionOffsets(NamedTuple):
    """Where a partition stands."""

    partition: int
    earliest: int
    end: int
    next_offset: int
    oldest_seconds: float | None = None
    """How long the first record waits that is not applied; None when none does, or unknown."""

    @property
    def lag(self) -> int:
        """Records that are not applied yet."""
        return max(0, self.end - self.next_offset)


class Look(NamedTuple):
    """What one look saw."""

    at: datetime
    monotonic: float
    topic_ids: frozenset[str]
    """The topic that the ledger was built from."""
    partitions: tuple[PartitionOffsets, ...]
    """Empty once there is a later look."""
    received: int
    """Records that the topic was ever given."""
    applied: int
    """Records that have their outcome, or were there before the ledger's first."""
    lag: int
    """Records that are not applied yet."""
    oldest_seconds: float | None = None
    """How long the oldest of them waits; None when none does, or it is unknown."""
    outcomes: Mapping[Outcome, int] | None = None
    """Records that got each outcome since the look before; None when nobody counted them."""

    @classmethod
    def of(
        cls,
        at: datetime,
        monotonic: float,
        stored: Mapping[int, tuple[int, str]],
        held: Mapping[int, Range],
    ) -> "Look":
        """Make one of where the ledger stands, and of what the topic holds."""
        partitions = tuple(
            PartitionOffsets(one, held[one].earliest, held[one].end, stored[one][0])
            for one in sorted(stored)
        )
        return cls(
            at,
            monotonic,
            frozenset(topic_id for _, topic_id in stored.values()),
            partitions,
            sum(one.end for one in partitions),
            sum(one.next_offset for one in partitions),
            sum(one.lag for one in partitions),
        )

    def aged(self, since: Mapping[int, datetime]) -> "Look":
        """Give the same with how long each partition waits, of those of which that is known."""
        partitions = tuple(
            one._replace(oldest_seconds=max(0.0, (self.at - since[one.partition]).total_seconds()))
            if one.partition in since
            else one
            for one in self.partitions
        )
        ages = [one.oldest_seconds for one in partitions if one.lag]
        known = [age for age in ages if age is not None]
        oldest = max(known) if known and len(known) == len(ages) else None
        return self._replace(partitions=partitions, oldest_seconds=oldest)

    def follows(self, before: "Look") -> bool:
        """Whether it saw the topic and the ledger of that one, neither of which went back."""
        stood = {one.partition: one for one in before.partitions}
        return (
            self.topic_ids == before.topic_ids
            and stood.keys() == {one.partition for one in self.partitions}
            and all(
                one.end >= stood[one.partition].end
                and one.next_offset >= stood[one.partition].next_offset
                for one in self.partitions
            )
        )


class Seen(NamedTuple):
    """All that is shown: the looks that are kept, what came last, and what is wrong now."""

    looks: tuple[Look, ...]
    conflicts: tuple[Conflict, ...]
    dead: tuple[DeadRecord, ...]
    problem: OstatokError | None
    """Who could not be asked at the last look, or that the topic is not the ledger's."""
    unread: OstatokError | None = None
    """Why the outcomes, conflicts and dead letters are older than the last look."""

    @property
    def mismatch(self) -> JournalMismatch | None:
        """The problem, when it is that the topic is not the ledger's."""
        return self.problem if isinstance(self.problem, JournalMismatch) else None

    def rates(self) -> list[tuple[datetime, float, float]]:
        """Between each two looks: when, records received and records applied, each a second."""
        return [
            (later.at, *_rates(sooner, later))
            for sooner, later in zip(self.looks, self.looks[1:], strict=False)
        ]

    def rate_now(self) -> tuple[float, float] | None:
        """Records received and applied a second, over the last looks; None before the second."""
        last = self.looks[-RATE_LOOKS - 1 :]
        return _rates(last[0], last[-1]) if len(last) > 1 else None

    def outcomes(self) -> tuple[dict[Outcome, int], float]:
        """Records by outcome, and in how many seconds.

        From the first look that is kept, or from the last of which nobody could count them.
        """
        gap = max((at for at, look in enumerate(self.looks) if look.outcomes is None), default=0)
        looks = self.looks[gap:]
        counts = {
            outcome: sum((look.outcomes or {}).get(outcome, 0) for look in looks[1:])
            for outcome in OUTCOMES
        }
        return counts, looks[-1].monotonic - looks[0].monotonic if looks else 0.0


def _rates(sooner: Look, later: Look) -> tuple[float, float]:
    """Records received and records applied between two looks, each a second."""
    seconds = later.monotonic - sooner.monotonic
    return (later.received - sooner.received) / seconds, (later.applied - sooner.applied) / seconds
