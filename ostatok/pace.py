"""How far long work is, how fast, and how long it will take."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

SECONDS_BETWEEN = 0.1


class Pace:
    """Says so while more is done, and at the end."""

    def __init__(self, total: int, say: Say, what: str = "records") -> None:
        self._total = total
        self._say = say
        self._what = what
        self._done = 0
        self._started = time.monotonic()
        self._said_at = 0.0

    def made(self, many: int) -> None:
        """Count so many more."""
        self._done += many
        now = time.monotonic()
        if now - self._said_at < SECONDS_BETWEEN and self._done < self._total:
            return
        self._said_at = now
        rate = self._done / max(now - self._started, 0.001)
        left = max(self._total - self._done, 0) / rate
        self._say(
            f"{self._done:,} of {self._total:,} {self._what}, {rate:,.0f} a second, "
            f"{left:,.0f} seconds left"
        )
