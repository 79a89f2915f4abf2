"""Dead letters over HTTP: what ``ostatok dead-letters`` does, for who has no shell there.

Only where a setting says so: where nobody is asked who they are, or to who has a token for it. A
header says who decides, in both requests the same: the body of a redrive is the bank's, byte for
byte, and an address ends up in the logs of proxies. A browser sends a header of ours for another
site's page as little as it sends application/json.
"""

from collections.abc import Callable

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ostatok.errors import DeadLetterUnknown, InvalidParameters
from ostatok.settings import Settings
from ostatok_db.dead_letters import DeadLetters, Decision, Filter
from ostatok_http import parameters
from ostatok_http.answers import REQUEST_ID
from ostatok_http.bodies import read_body, require_kind
from ostatok_http.doors.clients import Clients
from ostatok_http.doors.guard import Guard
from ostatok_http.doors.identity import IDENTITY, Identity
from ostatok_http.history import LIMIT
from ostatok_http.hosts import host_names, require_known_host
from ostatok_http.letter_desk import (
    BECAUSE_CHARACTERS_MAX,
    BY_CHARACTERS_MAX,
    LetterDesk,
    Wish,
)
from ostatok_http.letter_shapes import (
    DeadLetter,
    DeadLetterPage,
    DiscardDone,
    RedriveDone,
    WholeDeadLetter,
)
from ostatok_http.ok import Ok
from ostatok_http.parameters import Parameter, Parameters, names_of, optional
from ostatok_http.ports import Position
from ostatok_http.shapes import encode

ADDRESS = "/api/dead-letters"
BY_HEADER = "Ostatok-By"
REASON_CHARACTERS_MAX = 200

ALL = "all"
_DECIDED = {"true": True, "false": False, ALL: None}

BY = parameters.words(BY_CHARACTERS_MAX)
BECAUSE = parameters.words(BECAUSE_CHARACTERS_MAX)

OPERATION = optional(
    "operation",
    parameters.operation_id,
    "The operation id of the body.",
    "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a",
)
REASON = optional(
    "reason",
    parameters.words(REASON_CHARACTERS_MAX),
    "Part of the reason, in any case.",
    "is not JSON",
)
DECIDED = Parameter(
    "decided",
    parameters.one_of(*_DECIDED),
    "Whether somebody has decided about them; `all` for both.",
    "false",
)
CURSOR = optional(
    "cursor", parameters.position, "`next` of the page before, with the same other parameters."
)
FROM = optional(
    "from",
    parameters.moment,
    "Only those of this time or later, by the receiver's clock (received_at).",
    "2026-04-01",
)
TO = optional(
    "to",
    parameters.moment,
    "Only those before this time, by the receiver's clock (received_at).",
    "2026-05-01",
)
LETTERS_PARAMETERS = (REASON, OPERATION, FROM, TO, DECIDED, LIMIT, CURSOR)

AGAIN = Parameter("again", parameters.flag, "Also when somebody has decided about it.", False)
DRY_RUN = Parameter(
    "dry_run", parameters.flag, "Say what would be done or refused, and do nothing.", False
)
DECISION_PARAMETERS = (AGAIN, DRY_RUN)


class DeadLetterEndpoints:
    """Lists and shows dead letters, redrives and discards them."""

    def __init__(self, settings: Settings, desk: LetterDesk, guard: Guard) -> None:
        self._names = host_names(settings.http_names)
        self._guard = guard
        self._has_authentication = settings.http_authentication
        self._clients = Clients(settings.http_trusted_proxies)
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer at their addresses, which end in a slash or not."""
        one = ADDRESS + "/{position:[^/]*}"
        for method, path, name, handler in (
            (hdrs.METH_GET, ADDRESS, "dead_letters", self.page),
            (hdrs.METH_GET, one, "dead_letter", self.show),
            (hdrs.METH_POST, one + "/redrive", "redrive", self.redrive),
            (hdrs.METH_POST, one + "/discard", "discard", self.discard),
        ):
            guarded = self._guarded(name, handler)
            add = router.add_get if method == hdrs.METH_GET else router.add_post
            add(path + "/", guarded, name=name)
            add(path, guarded, name=f"{name}.bare")

    def _guarded(self, name: str, handler: Handler) -> Handler:
        if self._has_authentication:
            # Whatever name it is asked for by: no other site's page has a token.
            return self._guard.around(name, handler)

        async def answer(request: web.Request) -> web.StreamResponse:
            require_known_host(request, self._names)
            return await handler(request)

        return answer

    async def page(self, request: web.Request) -> Ok:
        """Answer a page of dead letters, the earliest first, with a cursor to the next one."""
        query = Parameters(request.query, *names_of(LETTERS_PARAMETERS))
        since, until = parameters.period(query)
        which = Filter(
            operation_id=OPERATION.of(query),
            reason=REASON.of(query),
            since=since,
            until=until,
            decided=_DECIDED[DECIDED.of(query)],
        )
        limit, cursor = LIMIT.of(query), CURSOR.of(query)
        query.check()
        return await self._answer(lambda letters: _page(letters, which, limit, cursor))

    async def show(self, request: web.Request) -> Ok:
        """Answer a dead letter whole: with its record, and all that was decided about it."""
        position = position_of(request)
        Parameters(request.query).check()
        return await self._answer(lambda letters: _whole(letters, position))

    async def redrive(self, request: web.Request) -> Ok:
        """Publish a dead letter again, the same bytes or the body, and answer where that lies."""
        wish = _wish(request, self._clients)
        corrected = await read_body(request) or None
        operation_id, new = await self._desk.redrive(wish, corrected)
        name = _name(wish.position)
        if new is None:
            return _ok(RedriveDone(name, operation_id, None))
        return _ok(RedriveDone(name, operation_id, Decision.REDRIVEN, _name(new)))

    async def discard(self, request: web.Request) -> Ok:
        """Decide that nothing is to be made of a dead letter, for the reason in the body."""
        wish = _wish(request, self._clients)
        because = _because(await read_body(request))
        await self._desk.discard(wish, because)
        decision = None if wish.dry_run else Decision.DISCARDED
        return _ok(DiscardDone(_name(wish.position), decision))

    async def _answer(self, work: Callable[[DeadLetters], msgspec.Struct]) -> Ok:
        return _ok(await self._desk.do(work))


def _ok(body: msgspec.Struct) -> Ok:
    return Ok(encode(body), {hdrs.CACHE_CONTROL: "no-store"})


def _name(position: Position) -> str:
    return f"{position.partition}:{position.offset}"


def position_of(request: web.Request) -> Position:
    """Give the position of the address, or answer 404 for what is none."""
    try:
        return parameters.position(request.match_info["position"])
    except ValueError:
        raise web.HTTPNotFound from None


def _wish(request: web.Request, clients: Clients) -> Wish:
    """Read what both decisions are told, before the body."""
    require_kind(request)
    position = position_of(request)
    query = Parameters(request.query, *names_of(DECISION_PARAMETERS))
    again, dry_run = AGAIN.of(query), DRY_RUN.of(query)
    by = _by(request, query)
    query.check()
    return Wish(position, by, again, dry_run, request[REQUEST_ID], clients.of(request))


def _by(request: web.Request, query: Parameters) -> str:
    """Read who decides: whoever has proved who he is, with the person that he says he is, if any.

    A token may be a whole department's, so its name is always there, and a person beside it.
    """
    identity: Identity | None = request.get(IDENTITY)
    given = request.headers.getall(BY_HEADER, [])
    if identity is not None and not given:
        return str(identity.name)
    try:
        (text,) = given
        BY(text)
    except ValueError as error:
        query.refuse(BY_HEADER, str(error) if len(given) == 1 else "must say once who decides")
        return ""
    return text if identity is None else f"{text}, {identity.name}"


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
            BECAUSE(because)
        except ValueError as error:
            reasons["because"] = str(error)
    else:
        reasons["because"] = "must be a string that says why nothing is to be made of it"
    if reasons:
        raise InvalidParameters(reasons)
    return str(because)


def _page(
    letters: DeadLetters, which: Filter, limit: int, cursor: Position | None
) -> DeadLetterPage:
    try:
        after = None if cursor is None else (letters.at(*cursor).received_at, *cursor)
    except DeadLetterUnknown:
        raise InvalidParameters({"cursor": "is not the next of a page"}) from None
    page = letters.page(which, limit, after)
    following = None
    if page.following is not None:
        _, partition, offset = page.following
        following = f"{partition}:{offset}"
    return DeadLetterPage([DeadLetter.of(letter) for letter in page.letters], following)


def _whole(letters: DeadLetters, position: Position) -> WholeDeadLetter:
    letter, content = letters.whole_at(*position)
    return WholeDeadLetter.whole(letter, content, letters.decisions(letter))
