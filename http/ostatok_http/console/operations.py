"""One operation: its whole story, from the request that brought it to the balance it changed."""

from urllib.parse import quote

from aiohttp import web

from ostatok.payment import is_inn, is_operation_id
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser
from ostatok_http import parameters
from ostatok_http.console.site import HOME, Site, redirect
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position
from ostatok_http.story import UNCLEAR, UNKNOWN, Stories

QUERY_CHARACTERS_MAX = 200
INN_DIGITS_MAX = 12


class Operations:
    """The story of an operation, and the search that leads to one."""

    def __init__(self, site: Site, browser: Browser, stories: Stories) -> None:
        self._site = site
        self._browser = browser
        self._stories = stories

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer the story of an operation; also that there is none, and why that may be."""
        operation_id = request.match_info["operation_id"].lower()
        Parameters(request.query).check()
        if not is_operation_id(operation_id):
            raise web.HTTPNotFound
        story = await self._stories.of(operation_id)
        status = {UNKNOWN: 404, UNCLEAR: 503}.get(story.status, 200)
        return self._site.render(request, "operation.html", status=status, story=story)

    async def search(self, request: web.Request) -> web.StreamResponse:
        """Lead to what is meant: an operation id, an INN or its beginning, or a position."""
        query = Parameters(request.query, "q")
        asked = (
            query.read("q", parameters.words(QUERY_CHARACTERS_MAX))
            if request.query.get("q", "").strip()
            else ""
        )
        query.check()
        text = (asked or "").strip()
        if target := await self._target(text):
            return redirect(HOME + target)
        status = 404 if text else 200
        return self._site.render(request, "search.html", status=status, q=text)

    async def _target(self, text: str) -> str | None:
        """Where what somebody typed leads; None when it leads nowhere."""
        if is_operation_id(text):
            return f"/operations/{text.lower()}/"
        if is_inn(text) and await self._browser.organization(text) is not None:
            return f"/organizations/{text}/"
        if text.isascii() and text.isdigit() and len(text) <= INN_DIGITS_MAX:
            return f"/organizations/?prefix={text}"
        try:
            return await self._at(text, parameters.position(text))
        except ValueError:
            return None

    async def _at(self, text: str, position: Position) -> str | None:
        found = await self._browser.at(*position)
        if found is None:
            return None
        if found.outcome is Outcome.DEAD:
            return f"/dead-letters/{quote(text)}/"
        return f"/operations/{found.operation_id}/"
