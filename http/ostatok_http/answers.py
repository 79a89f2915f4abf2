"""What is the same about every answer: request ids, counting, and how a refusal is written.

Who asks for ``application/problem+json`` gets RFC 9457, with every wrong field named, instead of
the short body.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from random import getrandbits
from typing import NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_exceptions import HTTPException
from msgspec import UNSET

from ostatok.errors import (
    AccessError,
    DeadLetterDecided,
    InvalidFields,
    NotAllowed,
    NotAuthenticated,
    TooManyRequests,
)
from ostatok.settings import Settings
from ostatok_http.doors.buckets import ClientLimit
from ostatok_http.doors.clients import Clients
from ostatok_http.doors.identity import IDENTITY
from ostatok_http.doors.trail import Trail
from ostatok_http.events import Events
from ostatok_http.metrics import Metrics
from ostatok_http.prefer import PREFERENCE_APPLIED
from ostatok_http.refusals import (
    FAILED,
    SAYS_MORE,
    TOO_MANY,
    Error,
    FieldReason,
    OperationConflict,
    Problem,
    Refusal,
    refusal_of,
)

RETRY_AFTER_SECONDS = 1
CONSOLE, NO_ROUTE = "console", "other"
"""The doors of the console's pages, which have no names, and of an address that is no route."""
JSON = "application/json"
PROBLEM = "application/problem+json"
SERVER = "Ostatok"
NO_SNIFF = "X-Content-Type-Options"
HSTS, HSTS_SECONDS = "Strict-Transport-Security", 31_536_000
"""RFC 6797: a browser comes by TLS alone, for a year from each answer on."""

APPLIED_HEADER = "Ostatok-Applied"
STALE_HEADER = "Ostatok-Stale"
OUTCOME_HEADER = "Ostatok-Outcome"
POSITION_HEADER = "Ostatok-Position"
REQUEST_ID_HEADER = "X-Request-ID"

REQUEST_ID = web.RequestKey("request_id", str)
OPERATION_ID = web.RequestKey("operation_id", str)
"""Of a body that is a payment: a refusal of it is logged with it."""
UNLIMITED = {"healthz", "readyz", "metrics"}
"""Routes that machines of ours ask, which may ask as often as they like."""

ANSWER = web.RequestKey("answer", str)
"""What a handler answered, in the metrics' words."""
DENIAL = web.RequestKey("denial", str)
"""Why somebody was not let in, for the trail; a page of the console's says so by this too."""

Request = TypeVar("Request", bound=web.BaseRequest)

_UUID_FREE_BITS = ~(0xF << 76 | 0x3 << 62)
_UUID_VERSION_4 = 0x4 << 76 | 0x2 << 62

_is_request_id = re.compile(r"[\x21-\x7e]{1,128}").fullmatch
_OF_THE_ERROR = (
    hdrs.ALLOW,
    hdrs.ACCEPT_ENCODING,
    APPLIED_HEADER,
    STALE_HEADER,
    OUTCOME_HEADER,
    POSITION_HEADER,
    PREFERENCE_APPLIED,
)

_DENIED = frozenset({401, 403, 429})

log = structlog.get_logger()


class Answering:
    """Request ids, errors to statuses, the count of answers, denials: around every handler."""

    def __init__(self, settings: Settings, metrics: Metrics, trail: Trail) -> None:
        self._metrics = metrics
        self._of_all = {hdrs.SERVER: SERVER, NO_SNIFF: "nosniff"}
        if settings.has_tls:
            self._of_all[HSTS] = f"max-age={HSTS_SECONDS}"
        self._trail = trail
        self._clients = Clients(settings.http_trusted_proxies)
        self._limit = ClientLimit.make(settings)
        self._refused = Events("webhook_refused", wanted=settings.log_operations)

    @property
    def middleware(self) -> Middleware:
        """For what comes through aiohttp's router."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            route = (request.match_info.route.name or "").partition(".")[0]
            return await self.answer(request, route, handler)

        return answer

    async def answer(
        self,
        request: Request,
        route: str,
        handler: Callable[[Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Let the handler of a route answer, or refuse the request for it."""
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _is_request_id(given) else _new_request_id()
        request[REQUEST_ID] = request_id
        try:
            if self._limit is not None and route not in UNLIMITED:
                self._limit.take(request)
            response = await handler(request)
            name = request.get(ANSWER, "")
        except Exception as error:  # This is the one place that catches all.
            refusal = refusal_of(error, route)
            response = _response(refusal, error, request)
            name = request[ANSWER] = request.get(ANSWER, refusal.name)
            if isinstance(error, AccessError):
                request[DENIAL] = str(error)
            if refusal is FAILED:
                log.exception("request_failed", request_id=request_id, exc_info=error)
            elif route == "webhook" and refusal is not TOO_MANY:
                # Which fields were wrong, and never what was in them.
                fields = list(error.reasons) if isinstance(error, InvalidFields) else []
                reason = {"reason": str(error)} if isinstance(error, AccessError) else {}
                operation = (
                    {"operation_id": request[OPERATION_ID]} if OPERATION_ID in request else {}
                )
                self._refused.add(
                    answer=name, fields=fields, request_id=request_id, **operation, **reason
                )
        if response.status in _DENIED or DENIAL in request:
            self._note_denial(request, route, name)
        if not response.prepared:
            response.headers[REQUEST_ID_HEADER] = request_id
            response.headers.update(self._of_all)
        self._metrics.answered(route, name)
        return response

    def _note_denial(self, request: web.BaseRequest, route: str, name: str) -> None:
        """Leave a denial in the trail: in this one place, whoever denied what."""
        identity = request.get(IDENTITY)
        self._trail.denied(
            route or _door_of(request.path),
            "" if identity is None else identity.name,
            self._clients.of(request),
            request.get(DENIAL, name),
            request[REQUEST_ID],
        )


def _door_of(path: str) -> str:
    """Name the door of what has no route with a name: the console's pages, and no route at all."""
    return CONSOLE if path == f"/{CONSOLE}" or path.startswith(f"/{CONSOLE}/") else NO_ROUTE


def _new_request_id() -> str:
    """Make a random UUID (version 4) without dashes.

    uuid4() asks the kernel for each, and nobody has to be kept from guessing this one.
    """
    return f"{getrandbits(128) & _UUID_FREE_BITS | _UUID_VERSION_4:032x}"


def refuse_organization(headers: Mapping[str, str] | None = None) -> NoReturn:
    """Answer 404, with what is known of the INN's partition."""
    raise web.HTTPNotFound(headers=headers)


def _response(refusal: Refusal, error: Exception, request: web.BaseRequest) -> web.Response:
    headers: dict[str, str] = {hdrs.VARY: hdrs.ACCEPT}
    if isinstance(error, HTTPException):
        headers |= {name: error.headers[name] for name in _OF_THE_ERROR if name in error.headers}
    if refusal.status == 503:
        headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, TooManyRequests):
        headers[hdrs.RETRY_AFTER] = error.retry_after
    if isinstance(error, NotAuthenticated) and error.challenge is not None:
        headers[hdrs.WWW_AUTHENTICATE] = error.challenge
    if not wants_problem(request.headers.getall(hdrs.ACCEPT, [])):
        body = refusal.body
        if isinstance(error, SAYS_MORE):
            body = msgspec.json.encode(Error(f"{refusal.error}: {error}"))
        return web.Response(status=refusal.status, body=body, content_type=JSON, headers=headers)
    return web.Response(
        status=refusal.status,
        body=msgspec.json.encode(_problem(refusal, error)),
        content_type=PROBLEM,
        headers=headers,
    )


def _problem(refusal: Refusal, error: Exception) -> Problem:
    """RFC 9457, section 3."""
    return Problem(
        refusal.type,
        refusal.error,
        refusal.status,
        str(error) if isinstance(error, DeadLetterDecided | NotAllowed) else refusal.detail,
        [FieldReason(field, reason) for field, reason in error.reasons.items()]
        if isinstance(error, InvalidFields)
        else UNSET,
        error.differences if isinstance(error, OperationConflict) else UNSET,
    )


def wants_problem(accept: list[str]) -> bool:
    """Whether the Accept headers ask for a problem by its name, and not for plain JSON rather."""
    if not any(PROBLEM in value.lower() for value in accept):
        return False
    weights = dict(map(_weight, ",".join(accept).lower().split(",")))
    return weights.get(PROBLEM, 0.0) > 0 and weights[PROBLEM] >= weights.get(JSON, 0.0)


_find_weight = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)").search


def _weight(media_range: str) -> tuple[str, float]:
    found = _find_weight(media_range)
    return media_range.partition(";")[0].strip(), float(found[1]) if found else 1.0
