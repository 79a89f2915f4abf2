"""Dead letters: found, looked at, and decided about, one or many at once.

Who decides says who he is, and the decision is kept with his name and the time
(``dead_letter_decision``); the same as by the API and by ``ostatok dead-letters``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog
from aiohttp import web

from ostatok.errors import (
    DeadLetterUnknown,
    JournalMismatch,
    JournalUnavailable,
    LedgerUnavailable,
    OstatokError,
)
from ostatok.journal import read_position
from ostatok_db.content import Content
from ostatok_db.dead_letters import DeadLetters, Decided, Filter, Letter
from ostatok_http import parameters
from ostatok_http.answers import REQUEST_ID
from ostatok_http.console.fields import cursor_of, local_moment, place
from ostatok_http.console.raw import Raw
from ostatok_http.console.site import WHO_COOKIE, Site, set_cookie
from ostatok_http.dead_letters import REASON_CHARACTERS_MAX, position_of
from ostatok_http.doors.identity import IDENTITY
from ostatok_http.letter_desk import (
    BECAUSE_CHARACTERS_MAX,
    BY_CHARACTERS_MAX,
    CORRECT,
    DISCARD,
    REDRIVE,
    LetterDesk,
    Wish,
)
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position

PAGE_ROWS = 50
BULK_MAX = 100
"""Dead letters that are decided about at once."""

BULK_SECONDS_MAX = 30.0
"""How long they may take together; the rest is not tried."""

OPEN, DECIDED, ALL = "open", "decided", "all"
_AWAY = (JournalUnavailable, JournalMismatch, LedgerUnavailable)
"""What is wrong with one is wrong with all the others too."""

_Told = tuple[str, bytes | None, str | None, bool]
"""Who decides, a corrected body, a reason, and whether to decide again."""

_DECIDED = {OPEN: False, DECIDED: True, ALL: None}

log = structlog.get_logger()


class Result(NamedTuple):
    """What became of one decision."""

    position: str
    new_position: str | None = None
    error: OstatokError | None = None
    not_tried: bool = False
    """Who is needed for it was away a moment before, or the time was up."""


class Letters:
    """The list of dead letters, the page of one, and what is decided there."""

    def __init__(self, site: Site, desk: LetterDesk) -> None:
        self._site = site
        self._desk = desk

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page of them, the earliest first: those nobody has decided about, or others."""
        query = Parameters(request.query, "reason", "operation", "from", "to", "state", "cursor")
        since, until = parameters.period(query, local_moment(self._site.zone))
        state = query.read("state", parameters.one_of(*_DECIDED)) or OPEN
        which = Filter(
            operation_id=_given(query, request.query, "operation", parameters.operation_id),
            reason=_given(query, request.query, "reason", parameters.words(REASON_CHARACTERS_MAX)),
            since=since,
            until=until,
            decided=_DECIDED[state],
        )
        after = query.read("cursor", place)
        query.check()
        page = await self._desk.do(lambda letters: letters.page(which, PAGE_ROWS, after))
        return self._site.render(
            request,
            "dead_letters.html",
            letters=page.letters,
            following=page.following and cursor_of(*page.following),
            which=which,
            state=state,
            states=list(_DECIDED),
            chosen={name: value for name, value in request.query.items() if name != "cursor"},
            decider=_decider(request),
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer a dead letter whole: its record as it came, and all that was decided about it."""
        position = position_of(request)
        Parameters(request.query).check()

        def look(letters: DeadLetters) -> tuple[Letter, Content, Sequence[Decided]]:
            letter, content = letters.whole_at(*position)
            return letter, content, letters.decisions(letter)

        letter, content, decisions = await self._desk.do(look)
        headers = zip(content.header_names, content.header_values, strict=True)
        return self._site.render(
            request,
            "dead_letter.html",
            letter=letter,
            key=Raw(content.key),
            value=Raw(content.value),
            headers=[(Raw(name), Raw(value)) for name, value in headers],
            decisions=decisions,
            decider=_decider(request),
        )

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """Decide about the dead letters that were chosen, one after another, and say of each."""
        form = await self._site.posted(request)
        self._site.require_operator(request)
        positions = form.popall("position", [])
        identity = request.get(IDENTITY)
        names = ("by",) if identity is None else ()
        query = Parameters(form, "action", "because", "body", "again", *names)
        action = query.read("action", parameters.one_of(REDRIVE, CORRECT, DISCARD))
        by = query.read("by", parameters.words(BY_CHARACTERS_MAX))
        if identity is not None:
            by = identity.name
        because = _given(query, form, "because", parameters.words(BECAUSE_CHARACTERS_MAX))
        if action == DISCARD and because is None:
            query.refuse("because", "must say why nothing is to be made of it")
        elif action != DISCARD and because is not None:
            query.refuse("because", "is of a discarded one; nothing was done")
        for name, value in (("action", action), ("by", by)):
            if value is None:
                query.refuse(name, "must be given")
        most = 1 if action == CORRECT else BULK_MAX
        if not 1 <= len(positions) <= most:
            query.refuse("position", f"must be given for 1 to {most} dead letters")
        query.check()
        corrected = str(form.get("body", "")).encode() if action == CORRECT else None
        told = (by or "", corrected, because, "again" in form)
        results = await self._decide_all(request, positions, told)
        response = self._site.render(request, "decided.html", results=results, action=action)
        if identity is None:
            set_cookie(response, WHO_COOKIE, (by or "").encode().hex())
        return response

    async def _decide_all(
        self, request: web.Request, positions: Sequence[str], told: _Told
    ) -> list[Result]:
        """Decide about one after another, until somebody is away, or for so long."""
        results: list[Result] = []
        until = asyncio.get_running_loop().time() + BULK_SECONDS_MAX
        for text in positions:
            is_away = bool(results) and isinstance(results[-1].error, _AWAY)
            if is_away or asyncio.get_running_loop().time() > until:
                break
            results.append(await self._one_decision(request, text, told))
        return results + [Result(text, not_tried=True) for text in positions[len(results) :]]

    async def _one_decision(
        self,
        request: web.Request,
        text: str,
        told: _Told,
    ) -> Result:
        by, corrected, because, again = told
        try:
            position = Position(*read_position(text))
            wish = Wish(
                position,
                by,
                again,
                dry_run=False,
                request_id=request[REQUEST_ID],
                client=self._site.clients.of(request),
            )
            if because is not None:
                await self._desk.discard(wish, because)
                return Result(text)
            new = (await self._desk.redrive(wish, corrected)).new_position
        except ValueError as error:
            return Result(text, error=DeadLetterUnknown(str(error)))
        except OstatokError as error:
            return Result(text, error=error)
        return Result(text, new and f"{new.partition}:{new.offset}")


def _given(
    query: Parameters, sent: Mapping[str, str], name: str, parse: Callable[[str], str]
) -> str | None:
    """Read a field of a form, which is sent empty when nobody filled it in."""
    return query.read(name, parse) if sent.get(name) else None


def _decider(request: web.Request) -> str:
    """Who decided last from this browser, so that he need not write it again."""
    try:
        return bytes.fromhex(request.cookies.get(WHO_COOKIE, "")).decode()[:BY_CHARACTERS_MAX]
    except (ValueError, UnicodeDecodeError):
        return ""
