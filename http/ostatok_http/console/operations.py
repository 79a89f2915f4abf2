"""One operation: its whole story, from the request that brought it to the balance it changed."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web

from ostatok.errors import JournalError, LedgerBehind
from ostatok.journal import Entry
from ostatok.payment import is_inn, is_operation_id
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser
from ostatok_db.history import History, LogEntry, OperationRecord
from ostatok_http import parameters
from ostatok_http.console.site import HOME, Site, redirect
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position
from ostatok_http.unapplied import Unapplied

QUERY_CHARACTERS_MAX = 200
INN_DIGITS_MAX = 12


class Story(NamedTuple):
    """All that is known of an operation."""

    operation_id: str
    records: Sequence[OperationRecord]
    """With their outcome, the applied one first."""
    accepted: Sequence[Entry]
    """In the journal, and without an outcome yet."""
    entry: LogEntry | None
    """The change of the balance that it made."""
    tail_unknown: bool
    """Whether nobody could say what the journal has that is not applied yet."""

    @property
    def status(self) -> str:
        """What became of it, in a word; ``unknown`` when the journal has nothing of it."""
        if self.records and self.records[0].outcome is Outcome.APPLIED:
            return "applied"
        if self.accepted:
            return "accepted"
        if self.tail_unknown:
            return "unclear"
        return str(self.records[0].outcome) if self.records else "unknown"


class Operations:
    """The story of an operation, and the search that leads to one."""

    def __init__(
        self, site: Site, browser: Browser, history: History, unapplied: Unapplied
    ) -> None:
        self._site = site
        self._browser = browser
        self._history = history
        self._unapplied = unapplied

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer the story of an operation; also that there is none, and why that may be."""
        operation_id = request.match_info["operation_id"].lower()
        Parameters(request.query).check()
        if not is_operation_id(operation_id):
            raise web.HTTPNotFound
        story = await self._story(operation_id)
        status = {"unknown": 404, "unclear": 503}.get(story.status, 200)
        return self._site.render(request, "operation.html", status=status, story=story)

    async def _story(self, operation_id: str) -> Story:
        records = await self._history.records_of(operation_id)
        accepted: Sequence[Entry] = ()
        tail_unknown = False
        if not records or records[0].outcome is not Outcome.APPLIED:
            try:
                accepted = await self._unapplied.of(operation_id)
            except (LedgerBehind, JournalError):
                tail_unknown = True
            # What was not applied when the ledger was asked, and was when the journal was.
            records = await self._history.records_of(operation_id)
        entry = None
        if records and records[0].outcome is Outcome.APPLIED:
            accepted = ()
            entry = await self._history.entry_of(records[0], operation_id)
        return Story(operation_id, records, accepted, entry, tail_unknown)

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
