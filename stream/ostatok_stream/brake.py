"""How many fetches may be in hand: the brake between reading and applying.

Faust has one of its own, and it starves. It stops fetching the partition whose message filled the
agent's queue, and fetches it again once the queue was seen empty; under steady load that never
comes, and the partition stands still while all others go on.
"""

import asyncio
from typing import Any

FETCHES_MAX = 2
"""The one being applied, and one read ahead. Each holds up to a batch of records a connection."""

LONG_RECORDS = 500
"""A fetch of so many is long: to read the next one takes a while, which is better spent ahead. A
short one is not read ahead of: what is read then would lie there until Postgres is done with the
one before, and what comes meanwhile would wait for a third one."""


class Brake:
    """Knows the fetches that were given to the agent and are not yet applied."""

    def __init__(self) -> None:
        self._in_hand: dict[int, tuple[Any, int]] = {}
        self._changed = asyncio.Event()

    def took(self, fetch: Any, records: int) -> None:
        """Report that the agent was given a fetch of so many records."""
        self._in_hand[id(fetch)] = (fetch, records)  # Kept, so that no other gets its id.

    def applied(self, fetch: Any) -> None:
        """Report that a fetch is done with, also one of before the last ``release``."""
        self._in_hand.pop(id(fetch), None)
        self._changed.set()

    def release(self) -> None:
        """Forget all fetches: a rebalance emptied the queue."""
        self._in_hand.clear()
        self._changed.set()

    async def has_room(self, seconds: float) -> bool:
        """Wait, at most so long, until another fetch may be read."""
        if not self._has_room():
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return self._has_room()

    def _has_room(self) -> bool:
        in_hand = self._in_hand.values()
        return len(in_hand) < FETCHES_MAX and all(many >= LONG_RECORDS for _, many in in_hand)
