"""Every refusal the service can give, and the one place where an error becomes a status.

The short bodies are the contract of the service that this one replaces.
"""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from aiohttp.web_exceptions import HTTPException
from msgspec import UNSET, UnsetType

from ostatok.errors import (
    DeadLetterDecided,
    DeadLetterUnknown,
    InvalidParameters,
    InvalidPayment,
    JournalFull,
    JournalMismatch,
    JournalUnavailable,
    LedgerBehind,
    LedgerUnavailable,
    NotAllowed,
    NotAuthenticated,
    NotRedrivable,
    TooManyRequests,
)
from ostatok.payment import BODY_BYTES_MAX
from ostatok_http.shapes import Difference, Differences


class Error(msgspec.Struct, frozen=True):
    """The short body of a refusal."""

    error: str


class FieldReason(msgspec.Struct, frozen=True):
    """What is wrong with a field; an empty name stands for the whole."""

    field: str
    reason: str


class Problem(msgspec.Struct, frozen=True):
    """The body of a refusal by RFC 9457, for who asks for application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldReason] | UnsetType = UNSET
    differences: Differences | UnsetType = UNSET


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

    @property
    def type(self) -> str:
        """The problem's type."""
        return f"urn:ostatok:problem:{self.name.replace('_', '-')}"


INVALID = Refusal("invalid", 400, "Invalid data", "The body is not a payment.")
INVALID_PARAMETERS = Refusal(
    "invalid_parameters", 400, "Invalid parameters", "A parameter of the request is wrong."
)
FORBIDDEN = Refusal(
    "forbidden",
    403,
    "Forbidden",
    "It did not come from a page of this site, or asks for a host whose name is not known here: "
    "OSTATOK_HTTP_NAMES names those that are.",
)
UNAUTHORIZED = Refusal(
    "unauthorized", 401, "Unauthorized", "Nobody who is known here asks, or does not prove it."
)
NOT_ALLOWED = Refusal("not_allowed", 403, "Not allowed", "Who asks is known, and may not do this.")
TOO_MANY = Refusal(
    "too_many", 429, "Too many requests", "The header Retry-After says when to ask again."
)
ORGANIZATION_NOT_FOUND = Refusal(
    "not_found", 404, "Organization not found", "No payment of this INN is known."
)
OPERATION_NOT_FOUND = Refusal(
    "not_found", 404, "Operation not found", "No record of this operation is in the journal."
)
DEAD_LETTER_NOT_FOUND = Refusal(
    "not_found", 404, "Dead letter not found", "The ledger has no dead letter of this place."
)
NOT_FOUND = Refusal("not_found", 404, "Not found", "There is nothing at this address.")
METHOD = Refusal("method", 405, "Method not allowed", "The header Allow names the methods.")
TOO_SLOW = Refusal("too_slow", 408, "Request timeout", "The body took too long to come.")
CONFLICT = Refusal(
    "conflict",
    409,
    "Operation conflict",
    "The operation was recorded before with other content. The journal keeps this webhook, and no "
    "money was moved for it.",
)
DECIDED = Refusal(
    "decided",
    409,
    "Already decided",
    "Somebody has decided about this dead letter. With again=true it is decided anew.",
)
TOO_LARGE = Refusal(
    "too_large", 413, "Payload too large", f"The body is longer than {BODY_BYTES_MAX} bytes."
)
UNSUPPORTED = Refusal(
    "unsupported",
    415,
    "Unsupported media type",
    "The body must be application/json in UTF-8, without a Content-Encoding.",
)
EXPECTATION = Refusal(
    "expectation", 417, "Expectation failed", "Only 100-continue can be expected."
)
REFUSED = Refusal(
    "refused", 422, "Operation refused", "The ledger keeps it as a dead letter; no money was moved."
)
NOT_REDRIVABLE = Refusal(
    "not_redrivable", 422, "Not a payment", "What would be published would be a dead letter again."
)
FAILED = Refusal("failed", 500, "Internal error", "The request id leads to the reason in the log.")
FULL = Refusal("full", 503, "Service unavailable", "Too many requests are in hand. Repeat later.")
UNAVAILABLE = Refusal(
    "unavailable",
    503,
    "Service unavailable",
    "A part of the service is away. Repeat later: a repeated operation counts once.",
)
BEHIND = Refusal(
    "behind",
    503,
    "Not applied yet",
    "The journal has what is asked for, or may have it; the ledger has not applied it yet.",
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
    for refusal in (
        FORBIDDEN,
        NOT_FOUND,
        METHOD,
        TOO_SLOW,
        CONFLICT,
        TOO_LARGE,
        UNSUPPORTED,
        EXPECTATION,
        REFUSED,
    )
}
_NOT_FOUND_BY_ROUTE = {
    "balance": ORGANIZATION_NOT_FOUND,
    "log": ORGANIZATION_NOT_FOUND,
    "statement": ORGANIZATION_NOT_FOUND,
    "operation": OPERATION_NOT_FOUND,
    "dead_letter": DEAD_LETTER_NOT_FOUND,
    "redrive": DEAD_LETTER_NOT_FOUND,
    "discard": DEAD_LETTER_NOT_FOUND,
}


class OperationConflict(web.HTTPConflict):
    """A webhook that its sender waited for turned out to be a conflict."""

    def __init__(
        self, differences: Mapping[str, Mapping[str, str]], headers: Mapping[str, str]
    ) -> None:
        """Keep what differs: field → what the ledger recorded, and what was received."""
        super().__init__(headers=headers)
        self.differences = msgspec.convert(differences, dict[str, Difference])


class OperationRefused(web.HTTPUnprocessableEntity):
    """A webhook that its sender waited for turned out to be one that the database refuses."""


SAYS_MORE: tuple[type[Exception], ...] = (InvalidParameters, NotRedrivable, DeadLetterDecided)
"""Errors whose short body says what is wrong, too: no contract of an older service there."""

# The first that fits: JournalFull is a JournalUnavailable too.
_BY_ERROR: tuple[tuple[type[Exception], Refusal], ...] = (
    (NotAuthenticated, UNAUTHORIZED),
    (NotAllowed, NOT_ALLOWED),
    (TooManyRequests, TOO_MANY),
    (InvalidPayment, INVALID),
    (web.RequestPayloadError, INVALID),
    (InvalidParameters, INVALID_PARAMETERS),
    (NotRedrivable, NOT_REDRIVABLE),
    (DeadLetterUnknown, DEAD_LETTER_NOT_FOUND),
    (DeadLetterDecided, DECIDED),
    (LedgerBehind, BEHIND),
    (JournalFull, FULL),
    (JournalMismatch, MISMATCH),
    (JournalUnavailable, UNAVAILABLE),
    (LedgerUnavailable, UNAVAILABLE),
)


def errors_of(refusal: Refusal) -> list[type[Exception]]:
    """The errors of ours that become a refusal."""
    return [kind for kind, found in _BY_ERROR if found is refusal]


def refusal_of(error: Exception, route: str) -> Refusal:
    """Say which refusal an error is; what nobody thought of is a 500."""
    if isinstance(error, web.HTTPNotFound):
        return _NOT_FOUND_BY_ROUTE.get(route, NOT_FOUND)
    if isinstance(error, HTTPException):
        return _BY_STATUS.get(error.status, FAILED)
    return next((refusal for kind, refusal in _BY_ERROR if isinstance(error, kind)), FAILED)
