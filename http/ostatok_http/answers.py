"""Every refusal the service can give, and the one place where an error becomes a status.

The short bodies are the contract of the service that this one replaces. Who asks for
``application/problem+json`` gets RFC 9457 instead, with every wrong field named.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from random import getrandbits
from typing import Any, NoReturn, TypeVar

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_exceptions import HTTPException

from ostatok.errors import (
    InvalidPayment,
    JournalFull,
    JournalMismatch,
    JournalUnavailable,
    LedgerUnavailable,
)
from ostatok.settings import Settings
from ostatok_http.events import Events
from ostatok_http.metrics import Metrics

RETRY_AFTER_SECONDS = 1
JSON = "application/json"
PROBLEM = "application/problem+json"

APPLIED_HEADER = "Ostatok-Applied"
STALE_HEADER = "Ostatok-Stale"
POSITION_HEADER = "Ostatok-Position"
REQUEST_ID_HEADER = "X-Request-ID"

REQUEST_ID = web.RequestKey("request_id", str)
OPERATION_ID = web.RequestKey("operation_id", str)
"""Of a body that is a payment: a refusal of it is logged with it."""
ANSWER = web.RequestKey("answer", str)
"""What a handler answered, in the metrics' words."""

Request = TypeVar("Request", bound=web.BaseRequest)

_UUID_FREE_BITS = ~(0xF << 76 | 0x3 << 62)
_UUID_VERSION_4 = 0x4 << 76 | 0x2 << 62

_is_request_id = re.compile(r"[\x21-\x7e]{1,128}").fullmatch
_OF_THE_ERROR = (hdrs.ALLOW, hdrs.ACCEPT_ENCODING, APPLIED_HEADER, STALE_HEADER)

log = structlog.get_logger()


class Refusal(msgspec.Struct, frozen=True):
    """One kind of answer that is not a 200."""

    name: str
    """The word for it in metrics, logs and the problem's type."""
    status: int
    error: str
    """The short body says this and nothing else."""
    detail: str

    @property
    def body(self) -> bytes:
        """The short body."""
        return b'{"error": "%s"}' % self.error.encode()


INVALID = Refusal("invalid", 400, "Invalid data", "The body is not a payment.")
ORGANIZATION_NOT_FOUND = Refusal(
    "not_found", 404, "Organization not found", "No payment of this INN is known."
)
NOT_FOUND = Refusal("not_found", 404, "Not found", "There is nothing at this address.")
METHOD = Refusal("method", 405, "Method not allowed", "The header Allow names the methods.")
TOO_SLOW = Refusal("too_slow", 408, "Request timeout", "The body took too long to come.")
TOO_LARGE = Refusal("too_large", 413, "Payload too large", "The body is longer than 65536 bytes.")
UNSUPPORTED = Refusal(
    "unsupported",
    415,
    "Unsupported media type",
    "The body must be application/json in UTF-8, without a Content-Encoding.",
)
EXPECTATION = Refusal(
    "expectation", 417, "Expectation failed", "Only 100-continue can be expected."
)
FAILED = Refusal("failed", 500, "Internal error", "The request id leads to the reason in the log.")
FULL = Refusal("full", 503, "Service unavailable", "Too many requests are in hand. Repeat later.")
UNAVAILABLE = Refusal(
    "unavailable",
    503,
    "Service unavailable",
    "A part of the service is away. Repeat later: a repeated operation counts once.",
)
MISMATCH = Refusal(
    "mismatch",
    503,
    "The journal does not belong to the ledger",
    "The topic is not the one the ledger was built from, so no balance would have the payment. "
    "Repeat later: a repeated operation counts once.",
)

_BY_STATUS = {
    refusal.status: refusal
    for refusal in (NOT_FOUND, METHOD, TOO_SLOW, TOO_LARGE, UNSUPPORTED, EXPECTATION)
}


class Answering:
    """Request ids, errors to statuses, and the count of answers: around every handler."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
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
            response = await handler(request)
            name = request.get(ANSWER, "")
        except Exception as error:  # This is the one place that catches all.
            refusal = refusal_of(error, route)
            response = _response(refusal, error, request)
            name = request.get(ANSWER, refusal.name)
            if refusal is FAILED:
                log.exception("request_failed", request_id=request_id, exc_info=error)
            elif route == "webhook":
                # Which fields were wrong, and never what was in them.
                fields = list(error.reasons) if isinstance(error, InvalidPayment) else []
                operation = (
                    {"operation_id": request[OPERATION_ID]} if OPERATION_ID in request else {}
                )
                self._refused.add(answer=name, fields=fields, request_id=request_id, **operation)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers[hdrs.SERVER] = "Ostatok"
        self._metrics.answered(route, name)
        return response


def refusal_of(error: Exception, route: str) -> Refusal:  # noqa: PLR0911  # one for each refusal
    """Say which refusal an error is; what nobody thought of is a 500."""
    match error:
        case InvalidPayment() | web.RequestPayloadError():
            return INVALID
        case JournalFull():
            return FULL
        case JournalMismatch():
            return MISMATCH
        case JournalUnavailable() | LedgerUnavailable():
            return UNAVAILABLE
        case web.HTTPNotFound() if route == "balance":
            return ORGANIZATION_NOT_FOUND
        case HTTPException():
            return _BY_STATUS.get(error.status, FAILED)
        case _:
            return FAILED


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
    if not wants_problem(request.headers.getall(hdrs.ACCEPT, [])):
        return web.Response(
            status=refusal.status, body=refusal.body, content_type=JSON, headers=headers
        )
    return web.Response(
        status=refusal.status,
        body=msgspec.json.encode(_problem(refusal, error)),
        content_type=PROBLEM,
        headers=headers,
    )


def _problem(refusal: Refusal, error: Exception) -> dict[str, Any]:
    """RFC 9457, section 3."""
    problem: dict[str, Any] = {
        "type": f"urn:ostatok:problem:{refusal.name.replace('_', '-')}",
        "title": refusal.error,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    if isinstance(error, InvalidPayment):
        problem["errors"] = [
            {"field": field, "reason": reason} for field, reason in error.reasons.items()
        ]
    return problem


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
