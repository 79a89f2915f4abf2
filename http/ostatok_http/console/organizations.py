"""Organizations: a list to page through, those that stand out, and one with its whole past."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import structlog
from aiohttp import web
from markupsafe import Markup

from ostatok.errors import LedgerError
from ostatok.payment import DOCUMENT_NUMBER_CHARACTERS_MAX, is_inn
from ostatok_db.browsing import (
    DOCUMENTS_MAX,
    SEARCHED_MAX,
    Browser,
    DocumentEntry,
    LogPage,
    Ranking,
)
from ostatok_db.history import Point
from ostatok_http import parameters
from ostatok_http.console.charts import Axis, line
from ostatok_http.console.fields import digits, local_moment
from ostatok_http.console.site import Site, language_of
from ostatok_http.console.texts import Speaker
from ostatok_http.giving_up import give_up
from ostatok_http.history import BEFORE_ALL, ENTRIES_MAX, JUST_AFTER
from ostatok_http.parameters import Parameters

PAGE_ROWS = 50
RANKING_SECONDS = 60.0
"""How old a snapshot of all organizations may become before another is taken."""

ONE_SECOND = timedelta(seconds=1)
FIRST_RANKING_SECONDS_MAX = 2.0
"""How long the page waits for the first; it reads every organization."""

log = structlog.get_logger()


class Snapshot(NamedTuple):
    """All organizations at a moment."""

    ranking: Ranking
    taken_at: datetime


class Snapshots:
    """The last snapshot, and the next when it has become old and somebody asks."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._last: Snapshot | None = None
        self.error: LedgerError | None = None
        """Why there is no newer one."""
        self._due_at = 0.0
        self._taking: asyncio.Task[None] | None = None
        self._closed = False

    async def last(self) -> Snapshot | None:
        """Give the last one; None while the first is being taken, and when that failed."""
        is_due = time.monotonic() >= self._due_at and not self._closed
        if is_due and (self._taking is None or self._taking.done()):
            self._taking = asyncio.create_task(self._take())
        if self._last is None and self._taking is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._taking), FIRST_RANKING_SECONDS_MAX)
        return self._last

    async def close(self) -> None:
        """Give up what is being taken, and take no more."""
        self._closed = True
        if self._taking is not None:
            await give_up(self._taking)

    async def _take(self) -> None:
        try:
            self._last = Snapshot(await self._browser.ranking(), datetime.now(UTC))
            self.error = None
        except LedgerError as error:
            log.warning("snapshot_failed", reason=str(error))
            self.error = error
        finally:
            self._due_at = time.monotonic() + RANKING_SECONDS


class Searched(NamedTuple):
    """What a look for a document found, and which entries it looked through."""

    document: str
    found: Sequence[DocumentEntry]
    first: int
    last: int


class Organizations:
    """The list, and the page of one."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self._site = site
        self._browser = browser
        self.snapshots = Snapshots(browser)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page of the list: of all, or of the INNs that begin with some digits."""
        query = Parameters(request.query, "prefix", "after")
        prefix = query.read("prefix", digits(0, 12)) or ""
        after = query.read("after", digits(1, 12)) or ""
        query.check()
        found = await self._browser.organizations(prefix, after, PAGE_ROWS + 1)
        page = found[:PAGE_ROWS]
        return self._site.render(
            request,
            "organizations.html",
            prefix=prefix,
            after=after,
            organizations=page,
            following=page[-1].inn if len(found) > PAGE_ROWS else None,
            snapshot=None if prefix or after else await self.snapshots.last(),
            snapshot_error=self.snapshots.error,
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer one organization: its balance now, over time and at a moment, and its log."""
        inn = request.match_info["inn"]
        query = Parameters(request.query, "at", "from", "to", "cursor", "document", "before")
        at = query.read("at", local_moment(self._site.zone))
        since, until = parameters.period(query, local_moment(self._site.zone))
        cursor = query.read("cursor", parameters.number(1, ENTRIES_MAX))
        document = query.read("document", parameters.words(DOCUMENT_NUMBER_CHARACTERS_MAX))
        before = query.read("before", parameters.number(1, ENTRIES_MAX)) or ENTRIES_MAX
        query.check()
        if not is_inn(inn):
            raise web.HTTPNotFound
        moments = {"since": since, "until": until, "at": at and _just_after(at)}
        asked = {name: moment for name, moment in moments.items() if moment}
        whole = await self._browser.organization(inn, *asked.values())
        if whole is None:
            raise web.HTTPNotFound
        points = dict(zip(asked, whole.points, strict=True))
        start = points.get("since", BEFORE_ALL)
        end = points.get("until", Point(whole.entries, whole.balance))
        first, last = start.entry + 1, min(end.entry, cursor or end.entry)
        top = max(first, last - PAGE_ROWS + 1)
        searched = await self._search(inn, document, min(whole.entries, before))
        page = LogPage([], [])
        if searched is None:
            page = await self._browser.log_page(inn, top, last, range(first, end.entry + 1))
        values: dict[str, Any] = {
            "organization": whole,
            "entries": list(reversed(page.entries)),
            "following": top - 1 if first < top else None,
            "chart": self._chart(request, page.samples, start, end),
            "at": at,
            "at_point": points.get("at"),
            "since": since,
            "until": until,
            "start": start,
            "end": end,
            "searched": searched,
        }
        return self._site.render(request, "organization.html", **values)

    async def _search(self, inn: str, document: str | None, last: int) -> Searched | None:
        """Look for a document from an entry on back, as far as one look goes."""
        if document is None:
            return None
        first = max(1, last - SEARCHED_MAX + 1)
        found = await self._browser.entries_by_document(inn, document, first, last)
        if len(found) == DOCUMENTS_MAX:
            first = found[-1].entry  # There may be more of them: look on from there.
        return Searched(document, found, first, last)

    def _chart(
        self,
        request: web.Request,
        sampled: Sequence[tuple[datetime, Decimal]],
        start: Point,
        end: Point,
    ) -> Markup | None:
        """The balance over the entries of the period; None when there are too few for a line."""
        if len(sampled) < 2:
            return None
        points = [(at.timestamp(), float(balance)) for at, balance in sampled]
        t, f = Speaker(language_of(request)), self._site.formats(language_of(request))
        across = Axis(
            points[0][0],
            points[-1][0],
            lambda at: f"{f.day(_utc(at))} {f.clock(_utc(at))}",
        )
        upward = Axis(
            float(start.balance),
            float(end.balance),
            lambda rubles: f.money(Decimal(str(rubles)).quantize(Decimal("0.01"))),
        )
        return line(t("organization.chart"), points, across, upward, steps=True)


def _just_after(at: datetime) -> datetime:
    """The end of a moment: of the whole second when it has no fraction, as times are shown."""
    return at + (JUST_AFTER if at.microsecond else ONE_SECOND)


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
