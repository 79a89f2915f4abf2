"""Answering a balance, and none misses what it was promised."""

import asyncio
from time import perf_counter
from typing import NamedTuple

from aiohttp import hdrs, web

from ostatok.errors import JournalUnavailable, LedgerBehind, LedgerUnavailable
from ostatok.journal import partition_of
from ostatok.settings import Settings
from ostatok.topic import Range
from ostatok_db.reading import Standing
from ostatok_http.answers import (
    ANSWER,
    APPLIED_HEADER,
    STALE_HEADER,
    refuse_organization,
)
from ostatok_http.metrics import Metrics
from ostatok_http.next_flight import NextFlight
from ostatok_http.ok import Ok
from ostatok_http.ports import LedgerReader, TopicView
from ostatok_http.prefer import PREFERENCE_APPLIED, WAIT, wait_seconds
from ostatok_http.progress import Progress
from ostatok_http.single_flight import SingleFlight
from ostatok_http.standings import Standings
from ostatok_http.watermark import Watermark

ENDS_SECONDS_MIN = 1.0
"""How long Kafka may take to say what it has, should a read not want to wait so long."""


class Reading(NamedTuple):
    """The answer to one balance read."""

    standing: Standing
    partition: int
    stale: bool
    """True: webhooks that were acknowledged before the read are still missing in it."""


class Answered(NamedTuple):
    """A balance as a request asked for it, and the headers that go with the answer."""

    standing: Standing
    headers: dict[str, str]


class BalanceEndpoint:
    """The balance of now."""

    def __init__(self, balances: "Balances", metrics: Metrics) -> None:
        self._balances = balances
        self._metrics = metrics

    async def of(self, inn: str, request: web.BaseRequest) -> Ok:
        """Answer 200 with the balance of an INN, or 404 when it never paid."""
        started = perf_counter()
        try:
            standing, headers = await self._balances.read_for(inn, request)
        finally:
            self._metrics.read(perf_counter() - started)
        # From the Decimal itself, never through a float: a JSON number with two decimals.
        body = f'{{"inn": "{inn}", "balance": {standing.balance:.2f}}}'
        return Ok(body.encode(), headers)


class Balances:
    """Reads balances for all requests of this process."""

    def __init__(
        self,
        settings: Settings,
        ledger: LedgerReader,
        topic: TopicView,
        watermark: Watermark,
        progress: Progress,
    ) -> None:
        self._topic = topic
        self._watermark = watermark
        self._progress = progress
        self._read_wait_seconds = settings.read_wait_seconds
        self._prefer_wait_seconds_max = settings.prefer_wait_seconds_max
        self._readers_max = settings.http_requests_max
        self._readers = 0
        self._partitions = 0
        self._how_many_partitions = SingleFlight(
            ledger.partitions, settings.database_timeout_seconds
        )
        self._standings = Standings(ledger, settings.database_timeout_seconds)
        self._ends = NextFlight(self._ask_ends)

    async def partition_of(self, inn: str) -> int:
        """Give the partition of an INN. Raises :class:`LedgerUnavailable`."""
        if not self._partitions:
            self._partitions = await self._how_many_partitions.answer()
        return partition_of(inn, self._partitions)

    async def read_for(self, inn: str, request: web.BaseRequest, up_to: int = 0) -> Answered:
        """Read the balance as a request prefers it, with the headers of the answer.

        Answers 404 for an INN never paid by, and raises what :meth:`read` does.
        """
        wait = wait_seconds(request.headers, self._prefer_wait_seconds_max)
        standing, partition, stale = await self.read(inn, wait, up_to)
        headers = {
            APPLIED_HEADER: f"{partition}:{standing.next_offset}",
            hdrs.CACHE_CONTROL: "no-store",
        }
        if wait is not None:
            headers[PREFERENCE_APPLIED] = WAIT
        if stale:
            headers[STALE_HEADER] = "true"
        if standing.balance is None:
            request[ANSWER] = "stale" if stale else "not_found"
            refuse_organization(headers)
        request[ANSWER] = "stale" if stale else "found"
        return Answered(standing, headers)

    async def read(self, inn: str, wait: float | None = None, up_to: int = 0) -> Reading:
        """Read the balance once everything is in it that was acknowledged before now.

        By this service; for that it waits no longer than the setting says and then takes what is
        there. Or by anyone, within ``wait`` seconds, and then it is never stale. What lies below
        the offset ``up_to`` is in it either way. Raises :class:`LedgerBehind` when it would be
        stale or not come so far, :class:`JournalUnavailable` when Kafka does not say what it has,
        :class:`LedgerUnavailable` when the database is away or too many reads are in hand.
        """
        if self._readers >= self._readers_max:
            raise LedgerUnavailable("Too many balance reads are in hand.")
        self._readers += 1
        try:
            return await self._read(inn, wait, up_to)
        except LedgerUnavailable:
            self._partitions = 0  # Whatever comes back may be another database.
            raise
        finally:
            self._readers -= 1

    async def _read(self, inn: str, wait: float | None, up_to: int) -> Reading:
        seconds = self._read_wait_seconds if wait is None else wait
        until = asyncio.get_running_loop().time() + seconds
        partition = await self.partition_of(inn)
        wanted = max(self._watermark.of(partition), up_to)
        if wait is not None:
            wanted = max(wanted, await self._end_of(partition, max(wait, ENDS_SECONDS_MIN)))
        standing = await self._standings.ask((inn, partition))
        if standing.next_offset < wanted:
            await self._progress.reach(partition, wanted, until)
            standing = await self._standings.ask((inn, partition))
        is_stale = standing.next_offset < wanted
        if standing.next_offset < up_to or (is_stale and wait is not None):
            raise LedgerBehind(f"Partition {partition} is not applied up to {wanted} yet.")
        return Reading(standing, partition, is_stale)

    async def _end_of(self, partition: int, seconds: float) -> int:
        """Give the offset behind all that anyone had acknowledged before this call."""
        try:
            async with asyncio.timeout(seconds):
                return (await self._ends.answer())[partition].end
        except TimeoutError:
            raise JournalUnavailable("Kafka did not say in time what it has.") from None

    async def _ask_ends(self) -> dict[int, Range]:
        if not self._partitions:
            raise LedgerUnavailable("The database was away a moment ago.")
        return await self._topic.ranges_async(range(self._partitions))

    def close(self) -> None:
        """Stop what runs in the background."""
        self._how_many_partitions.close()
        self._standings.close()
        self._ends.close()
