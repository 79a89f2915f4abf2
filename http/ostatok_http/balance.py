"""Answering a balance: many requests become one query, and none misses what it was promised."""

import asyncio
from functools import partial
from itertools import islice
from time import perf_counter
from typing import NamedTuple

from aiohttp import hdrs, web

from ostatok.errors import LedgerUnavailable
from ostatok.journal import partition_of
from ostatok.payment import is_inn
from ostatok.settings import Settings
from ostatok_db.reading import Standing
from ostatok_http.answers import (
    ANSWER,
    APPLIED_HEADER,
    STALE_HEADER,
    refuse_organization,
)
from ostatok_http.metrics import Metrics
from ostatok_http.ok import Ok
from ostatok_http.ports import LedgerReader
from ostatok_http.single_flight import SingleFlight
from ostatok_http.watermark import Watermark

SLOW_SECONDS = 0.5
"""A query that takes longer is no longer waited for by the next one."""

QUERIES_MAX = 2
"""Queries under way at once, a slow one among them."""

QUERY_ORGANIZATIONS_MAX = 1_000
"""What one query asks for at the most; the rest goes into the next one."""

POLL_SECONDS = 0.005
"""How often the ledger is asked how far it is, while somebody waits for it."""

SWEEP_SECONDS = 0.1
"""How much longer than the setting says a read may wait for the database."""


class Reading(NamedTuple):
    """The answer to one balance read."""

    standing: Standing
    partition: int
    stale: bool
    """True: webhooks that were acknowledged before the read are still missing in it."""


class BalanceEndpoint:
    """The balance's endpoint."""

    def __init__(self, balances: "Balances", metrics: Metrics) -> None:
        self._balances = balances
        self._metrics = metrics

    async def get(self, request: web.Request) -> Ok:
        """Answer 200 with the balance, or 404 for an INN never paid by and for what is no INN."""
        inn = request.match_info["inn"]
        if not is_inn(inn):
            refuse_organization()
        return await self.of(inn, request)

    async def of(self, inn: str, request: web.BaseRequest) -> Ok:
        """Answer 200 with the balance of an INN, or 404 when it never paid."""
        started = perf_counter()
        try:
            standing, partition, stale = await self._balances.read(inn)
        finally:
            self._metrics.read(perf_counter() - started)
        headers = {
            APPLIED_HEADER: f"{partition}:{standing.next_offset}",
            hdrs.CACHE_CONTROL: "no-store",
        }
        if stale:
            headers[STALE_HEADER] = "true"
            request[ANSWER] = "stale"
        if standing.balance is None:
            refuse_organization(headers)
        request[ANSWER] = "stale" if stale else "found"
        # From the Decimal itself, never through a float: a JSON number with two decimals.
        body = f'{{"inn": "{inn}", "balance": {standing.balance:.2f}}}'
        return Ok(body.encode(), headers)


class Balances:
    """Reads balances for all requests of this process."""

    def __init__(self, settings: Settings, ledger: LedgerReader, watermark: Watermark) -> None:
        self._watermark = watermark
        self._read_wait_seconds = settings.read_wait_seconds
        self._readers_max = settings.http_requests_max
        self._readers = 0
        self._partitions = 0
        self._how_many_partitions = SingleFlight(
            ledger.partitions, settings.database_timeout_seconds
        )
        self._queries = _Queries(ledger, settings.database_timeout_seconds)
        self._progress = _Progress(ledger)

    async def read(self, inn: str) -> Reading:
        """Read the balance once everything is in it that was acknowledged before now.

        Waits for that no longer than the setting says, then takes what is there. Raises
        :class:`LedgerUnavailable` when the database is away, or too many reads are in hand.
        """
        if self._readers >= self._readers_max:
            raise LedgerUnavailable("Too many balance reads are in hand.")
        self._readers += 1
        try:
            return await self._read(inn)
        except LedgerUnavailable:
            self._partitions = 0  # Whatever comes back may be another database.
            raise
        finally:
            self._readers -= 1

    async def _read(self, inn: str) -> Reading:
        until = asyncio.get_running_loop().time() + self._read_wait_seconds
        if not self._partitions:
            self._partitions = await self._how_many_partitions.answer()
        partition = partition_of(inn, self._partitions)
        wanted = self._watermark.of(partition)
        standing = await self._queries.ask((inn, partition))
        if standing.next_offset < wanted:
            await self._progress.reach(partition, wanted, until)
            standing = await self._queries.ask((inn, partition))
        return Reading(standing, partition, stale=standing.next_offset < wanted)

    def close(self) -> None:
        """Stop what runs in the background."""
        self._how_many_partitions.close()
        self._queries.close()
        self._progress.close()


class _Queries:
    """Gathers what is asked in one turn of the loop, or during a query, into the next query.

    One query at a time, unless it is slow: with two at once each is smaller, and a process made
    0.8 to 0.9 as many reads.
    """

    def __init__(self, ledger: LedgerReader, seconds: float) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._asked: dict[asyncio.Future[Standing], tuple[str, int]] = {}
        self._deadlines: dict[asyncio.Future[Standing], float] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[list[Standing]]] = set()
        self._newest: asyncio.Task[list[Standing]] | None = None
        """The query that the next one waits for."""
        self._slow_at = 0.0
        self._scheduled = False

    async def ask(self, organization: tuple[str, int]) -> Standing:
        """Read the standing of an (INN, its partition), in a snapshot no older than this call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Standing] = loop.create_future()
        self._asked[answer] = organization
        self._deadlines[answer] = loop.time() + self._seconds
        if self._sweeping is None:
            self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep)
        if not self._scheduled and self._newest is None:
            self._scheduled = True
            loop.call_soon(self._start)
        try:
            return await answer
        finally:
            # Nobody waits for it any more.
            del self._deadlines[answer]
            self._asked.pop(answer, None)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        """Fail what has waited too long, and wait no more for a slow query: one timer for all."""
        loop = asyncio.get_running_loop()
        if self._newest is not None and self._slow_at <= loop.time():
            self._newest = None
            self._start()
        for answer, deadline in self._deadlines.items():
            if deadline > loop.time():
                break  # All wait equally long, so the rest came later.
            if not answer.done():
                answer.set_exception(LedgerUnavailable("The database does not answer in time."))
        self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep) if self._deadlines else None

    def _start(self) -> None:
        self._scheduled = False
        if not self._asked or self._newest is not None or len(self._tasks) >= QUERIES_MAX:
            return
        asked = dict(islice(self._asked.items(), QUERY_ORGANIZATIONS_MAX))
        for answer in asked:
            del self._asked[answer]
        organizations = list(dict.fromkeys(asked.values()))
        task = asyncio.ensure_future(self._read(organizations))
        self._tasks.add(task)
        self._newest, self._slow_at = task, asyncio.get_running_loop().time() + SLOW_SECONDS
        task.add_done_callback(partial(self._answer, organizations, asked))

    async def _read(self, organizations: list[tuple[str, int]]) -> list[Standing]:
        # A connection that answers nothing must give its place back, or two of them end all reads.
        try:
            async with asyncio.timeout(2 * self._seconds):
                return await self._ledger.standings(organizations)
        except TimeoutError:
            raise LedgerUnavailable("The database does not answer.") from None

    def _answer(
        self,
        organizations: list[tuple[str, int]],
        asked: dict[asyncio.Future[Standing], tuple[str, int]],
        task: asyncio.Task[list[Standing]],
    ) -> None:
        self._tasks.discard(task)
        if self._newest is task:
            self._newest = None
        error = _error_of(task)
        found = {} if error else dict(zip(organizations, task.result(), strict=True))
        for answer, organization in asked.items():
            if answer.done():
                continue  # Its reader has gone.
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(found[organization])
        self._start()


class _Progress:
    """Tells readers when the ledger has come far enough: one poll for all who wait."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._waiting: dict[asyncio.Future[None], tuple[int, int]] = {}
        self._task: asyncio.Task[None] | None = None

    async def reach(self, partition: int, offset: int, until: float) -> None:
        """Wait until all of ``partition`` below ``offset`` is applied, or until the loop's time."""
        loop = asyncio.get_running_loop()
        seconds = until - loop.time()
        if seconds <= 0:
            return
        reached = loop.create_future()
        self._waiting[reached] = (partition, offset)
        if self._task is None:
            self._task = loop.create_task(self._poll())
            self._task.add_done_callback(self._end)
        try:
            await asyncio.wait_for(reached, seconds)
        except TimeoutError:
            return
        finally:
            self._waiting.pop(reached, None)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _poll(self) -> None:
        while self._waiting:
            offsets = await self._ledger.offsets()
            for reached, (partition, offset) in self._waiting.items():
                stands_at, _ = offsets.get(partition, (0, ""))
                if stands_at >= offset and not reached.done():
                    reached.set_result(None)
            await asyncio.sleep(POLL_SECONDS)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = _error_of(task)
        for reached in self._waiting:
            if error and not reached.done():
                reached.set_exception(error)


def _error_of(task: "asyncio.Task[list[Standing]] | asyncio.Task[None]") -> BaseException | None:
    if task.cancelled():
        return LedgerUnavailable("The service is stopping.")
    return task.exception()
