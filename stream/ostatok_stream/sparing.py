"""Figures and traces go wrong without the stream: they tell of the money, and move none."""

import time
from collections.abc import Callable
from types import TracebackType

import structlog

SAID_SECONDS_MIN = 60.0
"""The least time between two events about the same thing."""

log = structlog.get_logger()


class Sparing:
    """A ``with`` that ends where an error is raised, and goes on behind it.

    Only for what nothing depends on: whatever is raised is logged, once a minute at the most.
    """

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        """Log errors as those of ``what``."""
        self._what = what
        self._now = now
        self._said_at: float | None = None

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        """Swallow an error; a cancellation or an exit is none."""
        if not isinstance(error, Exception):
            return False
        now = self._now()
        if self._said_at is None or now - self._said_at >= SAID_SECONDS_MIN:
            self._said_at = now
            log.error("telling_failed", what=self._what, exc_info=error)
        return True
