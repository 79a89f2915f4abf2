"""How far long work is, how fast, and how long it will take."""

import time
from collections.abc import Callable

Say = Callable[[str], None]


class Pace:
    """Says so, each time some more is done."""

    def __init__(self, total: int, say: Say, what: str = "records") -> None:
        self._total = total
        self._say = say
        self._what = what
        self._done = 0
        self._started = time.monotonic()

    def made(self, many: int) -> None:
        """Count so many more."""
        self._done += many
        rate = self._done / max(time.monotonic() - self._started, 0.001)
        left = max(self._total - self._done, 0) / rate
        self._say(
            f"{self._done:,} of {self._total:,} {self._what}, {rate:,.0f} a second, "
            f"{left:,.0f} seconds left"
        )
