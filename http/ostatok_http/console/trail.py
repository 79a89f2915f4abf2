"""The audit trail: what was denied and what was done, for operators."""

from aiohttp import web

from ostatok_db.trail import TrailFilter, TrailReader
from ostatok_http import parameters
from ostatok_http.console.fields import local_moment
from ostatok_http.console.site import Site
from ostatok_http.parameters import Parameters

PAGE_ROWS = 50
WORDS_MAX = 200
ID_MAX = 10**18 - 1

DENIED, DONE, FAILED = "denied", "done", "failed"


class TrailPage:
    """The list, the latest first."""

    def __init__(self, site: Site, reader: TrailReader) -> None:
        self._site = site
        self._reader = reader

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page of it: all, or what was of one kind, by one person, in a period."""
        self._site.require_operator(request)
        query = Parameters(request.query, "kind", "action", "who", "from", "to", "cursor")
        since, until = parameters.period(query, local_moment(self._site.zone))
        given = {name: value for name, value in request.query.items() if value}
        kind = query.read("kind", parameters.one_of("", DENIED, DONE, FAILED))
        words = parameters.words(WORDS_MAX)
        action = query.read("action", words) if "action" in given else None
        who = query.read("who", words) if "who" in given else None
        before = query.read("cursor", parameters.number(1, ID_MAX))
        query.check()
        which = TrailFilter(since, until, kind or None, action, who)  # type: ignore[arg-type]
        found = await self._reader.page(which, PAGE_ROWS + 1, before)
        rows = found[:PAGE_ROWS]
        return self._site.render(
            request,
            "trail.html",
            rows=rows,
            which=which,
            kinds=(DENIED, DONE, FAILED),
            following=rows[-1].id if len(found) > PAGE_ROWS else None,
            chosen={name: value for name, value in given.items() if name != "cursor"},
        )
