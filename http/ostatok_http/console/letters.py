"""Dead letters: found, looked at, and decided about, one or many at once.

Who decides says who he is, and the decision is kept with his name and the time
(``dead_letter_decision``); the same as by the API and by ``ostatok dead-letters``.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from aiohttp import web
from multidict import MultiDict

from ostatok.errors import DeadLetterUnknown, OstatokError
from ostatok.journal import read_position
from ostatok.payment import BODY_BYTES_MAX
from ostatok_db.dead_letters import Content, DeadLetters, Decided, Filter, Letter
from ostatok_http import parameters
from ostatok_http.answers import REQUEST_ID
from ostatok_http.bodies import BODY_SECONDS_MAX
from ostatok_http.console.fields import local_moment
from ostatok_http.console.raw import Raw
from ostatok_http.console.site import WHO_COOKIE, Site, require_same_origin, set_cookie
from ostatok_http.dead_letters import REASON_CHARACTERS_MAX
from ostatok_http.letter_desk import (
    BECAUSE_CHARACTERS_MAX,
    BY_CHARACTERS_MAX,
    LetterDesk,
    Wish,
)
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position

PAGE_ROWS = 50
BULK_MAX = 100
"""Dead letters that are decided about at once."""

FORM_BYTES_MAX = 4 * BODY_BYTES_MAX
"""A corrected body, each of its bytes written as up to three."""

REDRIVE, CORRECT, DISCARD = "redrive", "correct", "discard"
OPEN, DECIDED, ALL = "open", "decided", "all"
_DECIDED = {OPEN: False, DECIDED: True, ALL: None}

log = structlog.get_logger()


class Result(NamedTuple):
    """What became of one decision."""

    position: str
    new_position: str | None = None
    error: OstatokError | None = None


class Letters:
    """The list of dead letters, the page of one, and what is decided there."""

    def __init__(self, site: Site, desk: LetterDesk) -> None:
        self._site = site
        self._desk = desk

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page of them, the earliest first: those nobody has decided about, or others."""
        query = Parameters(request.query, "reason", "operation", "from", "to", "state", "cursor")
        moment = local_moment(self._site.zone)
        state = query.read("state", parameters.one_of(*_DECIDED)) or OPEN
        which = Filter(
            operation_id=_given(query, request, "operation", parameters.operation_id),
            reason=_given(query, request, "reason", parameters.words(REASON_CHARACTERS_MAX)),
            since=query.read("from", moment),
            until=query.read("to", moment),
            decided=_DECIDED[state],
        )
        cursor = query.read("cursor", parameters.position)
        query.check()

        def find(letters: DeadLetters) -> list[Letter]:
            after = None if cursor is None else letters.at(*cursor)
            return letters.find(which, PAGE_ROWS + 1, after)

        found = await self._desk.do(find)
        page = found[:PAGE_ROWS]
        return self._site.render(
            request,
            "dead_letters.html",
            letters=page,
            following=page[-1].position if len(found) > PAGE_ROWS else None,
            which=which,
            state=state,
            states=list(_DECIDED),
            chosen={name: value for name, value in request.query.items() if name != "cursor"},
            who=_who(request),
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer a dead letter whole: its record as it came, and all that was decided about it."""
        position = position_of(request)
        Parameters(request.query).check()

        def look(letters: DeadLetters) -> tuple[Letter, Content, Sequence[Decided]]:
            letter = letters.at(*position)
            return letter, letters.content(letter), letters.decisions(letter)

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
            who=_who(request),
        )

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """Decide about the dead letters that were chosen, one after another, and say of each."""
        require_same_origin(request)
        if not self._site.may_decide:
            raise web.HTTPNotFound
        form = await read_form(request)
        positions = [text for text in form.popall("position", []) if isinstance(text, str)]
        query = Parameters(form, "action", "by", "because", "body", "again")
        action = query.read("action", parameters.one_of(REDRIVE, CORRECT, DISCARD))
        by = query.read("by", parameters.words(BY_CHARACTERS_MAX))
        because = None
        if action == DISCARD:
            because = query.read("because", parameters.words(BECAUSE_CHARACTERS_MAX))
        for name, value in (("action", action), ("by", by)):
            if value is None:
                query.refuse(name, "must be given")
        if not 1 <= len(positions) <= (1 if action == CORRECT else BULK_MAX):
            query.refuse("position", f"must be given for 1 to {BULK_MAX} dead letters")
        query.check()
        corrected = str(form.get("body", "")).encode() if action == CORRECT else None
        results = [
            await self._one_decision(request, text, (by or "", corrected, because, "again" in form))
            for text in positions
        ]
        response = self._site.render(request, "decided.html", results=results, action=action)
        set_cookie(response, WHO_COOKIE, (by or "").encode().hex())
        return response

    async def _one_decision(
        self,
        request: web.Request,
        text: str,
        told: tuple[str, bytes | None, str | None, bool],
    ) -> Result:
        by, corrected, because, again = told
        try:
            position = Position(*read_position(text))
            wish = Wish(position, by, again, dry_run=False, request_id=request[REQUEST_ID])
            if because is not None:
                await self._desk.discard(wish, because)
                return Result(text)
            new = (await self._desk.redrive(wish, corrected)).new_position
        except ValueError as error:
            return Result(text, error=DeadLetterUnknown(str(error)))
        except OstatokError as error:
            return Result(text, error=error)
        return Result(text, new and f"{new.partition}:{new.offset}")


async def read_form(request: web.Request) -> MultiDict[str]:
    """Read the form that was posted. Raises HTTPRequestEntityTooLarge, and HTTPRequestTimeout."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            posted = await request.clone(client_max_size=FORM_BYTES_MAX).post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return MultiDict((name, value) for name, value in posted.items() if isinstance(value, str))


def position_of(request: web.Request) -> Position:
    """Give the position of the address, or answer 404 for what is none."""
    try:
        return parameters.position(request.match_info["position"])
    except ValueError:
        raise web.HTTPNotFound from None


def _given(query: Parameters, request: web.Request, name: str, parse: Any) -> str | None:
    """Read a field of a form, which is sent empty when nobody filled it in."""
    return query.read(name, parse) if request.query.get(name) else None


def _who(request: web.Request) -> str:
    """Who decided last from this browser, so that he need not write it again."""
    try:
        return bytes.fromhex(request.cookies.get(WHO_COOKIE, "")).decode()[:BY_CHARACTERS_MAX]
    except (ValueError, UnicodeDecodeError):
        return ""
