"""An INN's past: its log in pages, and the balance at any point.

Every answer first waits as a balance read does. Entries never change: pages of any age fit
together.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from aiohttp import web

from ostatok.payment import is_inn
from ostatok_db.history import History, Point
from ostatok_http import parameters
from ostatok_http.answers import refuse_organization
from ostatok_http.balance import Answered, BalanceEndpoint, Balances
from ostatok_http.ok import Ok
from ostatok_http.parameters import Parameter, Parameters, names_of, optional
from ostatok_http.shapes import Entry, Log, PastBalance, encode

PAGE_ENTRIES_DEFAULT = 100
PAGE_ENTRIES_MAX = 1_000
ENTRIES_MAX = 10**18 - 1

NEWEST, OLDEST = "newest", "oldest"

JUST_AFTER = timedelta(microseconds=1)
"""Dates of the ledger are microseconds: before this much later is the same as up to."""

BEFORE_ALL = Point(0, Decimal("0.00"))

AT = optional(
    "at",
    parameters.moment,
    "The balance after all up to and including this time, in the ledger's time (created_at).",
    "2026-04-27T21:00:00Z",
)
POSITION = optional(
    "position",
    parameters.position,
    "The balance after the record at this place, which is what Ostatok-Position said to its "
    "sender. It must lie in the INN's partition. Not together with `at`.",
    "5:0",
)
BALANCE_PARAMETERS = (AT, POSITION)

ORDER = Parameter("order", parameters.one_of(NEWEST, OLDEST), "Which come first.", NEWEST)
LIMIT = Parameter(
    "limit", parameters.number(1, PAGE_ENTRIES_MAX), "How many a page has.", PAGE_ENTRIES_DEFAULT
)
CURSOR = optional(
    "cursor",
    parameters.number(1, ENTRIES_MAX),
    "`next` of the page before, with the same other parameters.",
)
FROM = optional(
    "from",
    parameters.moment,
    "Only entries of this time or later, in the ledger's time (created_at).",
    "2026-04-01",
)
TO = optional(
    "to",
    parameters.moment,
    "Only entries before this time, in the ledger's time (created_at).",
    "2026-05-01",
)
LOG_PARAMETERS = (ORDER, LIMIT, CURSOR, FROM, TO)


class HistoryEndpoints:
    """The balance at a point, and the log."""

    def __init__(self, balances: Balances, now: BalanceEndpoint, history: History) -> None:
        self._balances = balances
        self._now = now
        self._history = history

    async def balance(self, request: web.Request) -> Ok:
        """Answer the balance: now, ``?at=`` a time or ``?position=`` of a record, both included."""
        inn = inn_of(request)
        query = Parameters(request.query, *names_of(BALANCE_PARAMETERS))
        at, position = AT.of(query), POSITION.of(query)
        if at and position:
            query.refuse("position", "can't be given together with at")
        query.check()
        if position is not None:
            belongs = await self._balances.partition_of(inn)
            if position.partition != belongs:
                query.refuse("position", f"must lie in partition {belongs}, the INN's")
                query.check()
            answered = await self._balances.read_for(inn, request, up_to=position.offset + 1)
            if await self._history.has_replayed(inn):
                query.refuse("position", "is of no use: a replay added to this log; give at")
                query.check()
            return _point(inn, answered, await self._history.at_offset(inn, position.offset))
        if at is not None:
            answered = await self._balances.read_for(inn, request)
            return _point(inn, answered, await self._history.before(inn, at + JUST_AFTER))
        return await self._now.of(inn, request)

    async def log(self, request: web.Request) -> Ok:
        """Answer a page of the log, newest first or oldest first, with a cursor to the next one."""
        inn = inn_of(request)
        query = Parameters(request.query, *names_of(LOG_PARAMETERS))
        order, limit, cursor = ORDER.of(query), LIMIT.of(query), CURSOR.of(query)
        since, until = parameters.period(query)
        query.check()
        answered = await self._balances.read_for(inn, request)
        start, end = await bounds(self._history, inn, since, until)
        first, last = start.entry + 1, end.entry
        if order == OLDEST:
            first = max(first, cursor or first)
            last = min(last, first + limit - 1)
            following = last + 1 if first <= last < end.entry else None
        else:
            last = min(last, cursor or last)
            first = max(first, last - limit + 1)
            following = first - 1 if start.entry + 1 < first <= last else None
        entries = await self._history.entries(inn, first, last) if first <= last else []
        if order == NEWEST:
            entries.reverse()
        following_page = None if following is None else str(following)
        page = Log(inn, [Entry.of(entry) for entry in entries], following_page)
        return Ok(encode(page), answered.headers)


def inn_of(request: web.Request) -> str:
    """Give the INN of the address, or answer 404 for what is none."""
    inn = request.match_info["inn"]
    if not is_inn(inn):
        refuse_organization()
    return inn


async def bounds(
    history: History, inn: str, since: datetime | None, until: datetime | None
) -> tuple[Point, Point]:
    """Give where the log stood just before each of two times: at its ends for None."""
    # In this order: what is paid in between can only lie behind the start.
    start = await history.before(inn, since) if since else BEFORE_ALL
    end = await (history.before(inn, until) if until else history.last(inn))
    if start is None or end is None:
        refuse_organization()
    return start, end


def _point(inn: str, answered: Answered, point: Point | None) -> Ok:
    if point is None:
        refuse_organization(answered.headers)
    return Ok(encode(PastBalance(inn, point.balance, point.entry)), answered.headers)
