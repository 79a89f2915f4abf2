"""Dead letters over HTTP: what ``ostatok dead-letters`` does, for who has no shell there.

Only where a setting says so, since nobody is asked who they are. A header says who decides, in both
requests the same: the body of a redrive is the bank's, byte for byte, and an address ends up in the
logs of proxies. A browser sends a header of ours for another site's page as little as it sends
application/json.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import hdrs, web

from ostatok.errors import DeadLetterUnknown, InvalidParameters
from ostatok.journal import rfc3339
from ostatok_db.dead_letters import DeadLetters, Decided, Decision, Filter, Letter
from ostatok_http import parameters
from ostatok_http.answers import REQUEST_ID
from ostatok_http.bodies import read_body, require_kind
from ostatok_http.history import PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX, encode, period
from ostatok_http.letter_desk import (
    BECAUSE_CHARACTERS_MAX,
    BY_CHARACTERS_MAX,
    LetterDesk,
    Wish,
)
from ostatok_http.ok import Ok
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position

ADDRESS = "/api/dead-letters"
BY_HEADER = "Ostatok-By"
REASON_CHARACTERS_MAX = 200

ALL = "all"
_DECIDED = {"true": True, "false": False, ALL: None}


class DeadLetterEndpoints:
    """Lists and shows dead letters, redrives and discards them."""

    def __init__(self, desk: LetterDesk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer at their addresses, which end in a slash or not."""
        one = ADDRESS + "/{position:[^/]*}"
        for end, bare in (("/", ""), ("", ".bare")):
            router.add_get(ADDRESS + end, self.page, name=f"dead_letters{bare}")
            router.add_get(one + end, self.show, name=f"dead_letter{bare}")
            router.add_post(one + "/redrive" + end, self.redrive, name=f"redrive{bare}")
            router.add_post(one + "/discard" + end, self.discard, name=f"discard{bare}")

    async def page(self, request: web.Request) -> Ok:
        """Answer a page of dead letters, the earliest first, with a cursor to the next one."""
        query = Parameters(
            request.query,
            *("reason", "operation", "from", "to", "decided", "limit", "cursor"),
        )
        since, until = period(query)
        which = Filter(
            operation_id=query.read("operation", parameters.operation_id),
            reason=query.read("reason", parameters.words(REASON_CHARACTERS_MAX)),
            since=since,
            until=until,
            decided=_DECIDED[query.read("decided", parameters.one_of(*_DECIDED)) or "false"],
        )
        limit = query.read("limit", parameters.number(1, PAGE_ENTRIES_MAX)) or PAGE_ENTRIES_DEFAULT
        cursor = query.read("cursor", parameters.position)
        query.check()
        return await self._answer(lambda letters: _page(letters, which, limit, cursor))

    async def show(self, request: web.Request) -> Ok:
        """Answer a dead letter whole: with its record, and all that was decided about it."""
        position = _position_of(request)
        Parameters(request.query).check()
        return await self._answer(lambda letters: _whole(letters, letters.at(*position)))

    async def redrive(self, request: web.Request) -> Ok:
        """Publish a dead letter again, the same bytes or the body, and answer where that lies."""
        wish = _wish(request)
        corrected = await read_body(request) or None
        operation_id, new = await self._desk.redrive(wish, corrected)
        done = {"position": _name(wish.position), "operation_id": operation_id}
        if new is None:
            return _ok({**done, "decision": None})
        return _ok({**done, "decision": Decision.REDRIVEN, "new_position": _name(new)})

    async def discard(self, request: web.Request) -> Ok:
        """Decide that nothing is to be made of a dead letter, for the reason in the body."""
        wish = _wish(request)
        because = _because(await read_body(request))
        await self._desk.discard(wish, because)
        decision = None if wish.dry_run else Decision.DISCARDED
        return _ok({"position": _name(wish.position), "decision": decision})

    async def _answer(self, work: Callable[[DeadLetters], dict[str, Any]]) -> Ok:
        return _ok(await self._desk.do(work))


def _ok(fields: dict[str, Any]) -> Ok:
    return Ok(encode(fields), {hdrs.CACHE_CONTROL: "no-store"})


def _name(position: Position) -> str:
    return f"{position.partition}:{position.offset}"


def _position_of(request: web.Request) -> Position:
    try:
        return parameters.position(request.match_info["position"])
    except ValueError:
        raise web.HTTPNotFound from None


def _wish(request: web.Request) -> Wish:
    """Read what both decisions are told, before the body."""
    require_kind(request)
    position = _position_of(request)
    query = Parameters(request.query, "again", "dry_run")
    again = query.read("again", parameters.flag) or False
    dry_run = query.read("dry_run", parameters.flag) or False
    given, by = request.headers.getall(BY_HEADER, []), ""
    try:
        (text,) = given
        by = parameters.words(BY_CHARACTERS_MAX)(text)
    except ValueError as error:
        query.refuse(BY_HEADER, str(error) if len(given) == 1 else "must say once who decides")
    query.check()
    return Wish(position, by, again, dry_run, request[REQUEST_ID])


def _because(body: bytes) -> str:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidParameters({"": "the body is not JSON"}) from None
    if not isinstance(given, dict):
        raise InvalidParameters({"": "the body is not a JSON object"})
    reasons = {name: "is no field here; there is: because" for name in given if name != "because"}
    because = given.get("because")
    if isinstance(because, str):
        try:
            parameters.words(BECAUSE_CHARACTERS_MAX)(because)
        except ValueError as error:
            reasons["because"] = str(error)
    else:
        reasons["because"] = "must be a string that says why nothing is to be made of it"
    if reasons:
        raise InvalidParameters(reasons)
    return str(because)


def _page(
    letters: DeadLetters, which: Filter, limit: int, cursor: Position | None
) -> dict[str, Any]:
    try:
        after = None if cursor is None else letters.at(*cursor)
    except DeadLetterUnknown:
        raise InvalidParameters({"cursor": "is not the next of a page"}) from None
    found = letters.find(which, limit + 1, after)
    page = found[:limit]
    return {
        "dead_letters": [_fields(letter) for letter in page],
        "next": page[-1].position if len(found) > limit else None,
    }


def _whole(letters: DeadLetters, letter: Letter) -> dict[str, Any]:
    return {
        **_fields(letter),
        "record": letters.content(letter).shown(),
        "decisions": [_decision(made) for made in letters.decisions(letter)],
    }


def _fields(letter: Letter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "received_at": rfc3339(letter.received_at),
        "operation_id": letter.operation_id,
        "reason": letter.reason,
        "decision": letter.last and _decision(letter.last),
    }


def _decision(made: Decided) -> dict[str, Any]:
    fields = {"decision": made.decision, "by": made.decided_by, "at": rfc3339(made.decided_at)}
    if made.decision is Decision.REDRIVEN:
        return {**fields, "new_position": f"{made.new_partition}:{made.new_offset}"}
    return {**fields, "because": made.reason}
