"""How often somebody may ask, in a memory that does not grow with how many ask."""

import time
from collections.abc import Callable

from aiohttp import web

from ostatok.errors import TooManyRequests
from ostatok.settings import Settings
from ostatok_http.doors.clients import Clients, household_of

KEYS_MAX = 65_536
"""Clients that are remembered at once; one that is forgotten begins anew with a full bucket."""


class Buckets:
    """A bucket of tokens for each key: ``burst`` fit in, so many come back each second.

    Kept is one number a key, the moment at which its bucket would be full again (the generic cell
    rate algorithm). Whose moment has passed is as good as never seen, so forgetting him is free.
    """

    def __init__(
        self,
        rate_per_second: float,
        burst: int,
        keys_max: int = KEYS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember ``keys_max`` keys at the most; the least recent are forgotten."""
        self._seconds_each = 1 / rate_per_second
        self._seconds_all = burst / rate_per_second
        self._clock = clock
        self._generation_max = max(1, keys_max // 2)
        # Two generations: whoever comes is in the young one, and once that is half of all, the old
        # one is dropped at a stroke. To take the oldest out of a dict one by one is slow.
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._young) + len(self._old)

    def take(self, key: str) -> float:
        """Take a token: 0 when there was one, else the seconds until there will be."""
        now = self._clock()
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.pop(key, now)
            if len(self._young) >= self._generation_max:
                self._old, self._young = self._young, {}
        full_at = max(full_at, now)
        missing_seconds = full_at + self._seconds_each - now - self._seconds_all
        if missing_seconds > 1e-9:  # less is the floats' own error
            self._young[key] = full_at
            return missing_seconds
        self._young[key] = full_at + self._seconds_each
        return 0.0


class ClientLimit:
    """The bucket of each client's address, in front of everything that costs anything."""

    def __init__(self, rate_per_second: float, burst: int, clients: Clients) -> None:
        self._buckets = Buckets(rate_per_second, burst)
        self._clients = clients

    @classmethod
    def make(cls, settings: Settings) -> "ClientLimit | None":
        """Give this process's share of the limit, if there is to be one."""
        if settings.http_client_requests_per_second is None:
            return None
        share = settings.http_workers
        return cls(
            settings.http_client_requests_per_second / share,
            max(1, settings.http_client_requests_burst // share),
            Clients(settings.http_trusted_proxies),
        )

    def take(self, request: web.BaseRequest) -> None:
        """Count a request. Raises :class:`TooManyRequests` past the limit."""
        seconds = self._buckets.take(household_of(self._clients.of(request)))
        if seconds:
            raise TooManyRequests(after_seconds=seconds)
