"""How long to wait before the next try."""

from collections.abc import Iterator

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0


def backoff(first: float = FIRST_SECONDS, most: float = MOST_SECONDS) -> Iterator[float]:
    """Give seconds without end: ``first``, then twice as long each time, up to ``most``."""
    seconds = first
    while True:
        yield seconds
        seconds = min(seconds * 2, most)
