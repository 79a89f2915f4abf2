"""The headers of requests and answers, as OpenAPI describes them."""

from collections.abc import Sequence
from typing import Any

from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_http import schemas
from ostatok_http.answers import (
    APPLIED_HEADER,
    OUTCOME_HEADER,
    POSITION_HEADER,
    REQUEST_ID_HEADER,
    STALE_HEADER,
)
from ostatok_http.prefer import PREFER, PREFERENCE_APPLIED, WAIT
from ostatok_http.schemas import Schema
from ostatok_http.statement import CLOSING_HEADER, OPENING_HEADER

Header = dict[str, Any]

RETRY_AFTER, CACHE_CONTROL, VARY = "Retry-After", "Cache-Control", "Vary"
DISPOSITION = "Content-Disposition"
CHALLENGE = "WWW-Authenticate"

_PLACE: Schema = {"type": "string", "pattern": schemas.POSITION["pattern"]}
_MONEY: Schema = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2}$"}

OF_ANSWERS: dict[str, tuple[Schema, str]] = {
    REQUEST_ID_HEADER: (
        {"type": "string", "minLength": 1, "maxLength": 128},
        "The request's own, or one made for it. The logs and the ledger have it too.",
    ),
    POSITION_HEADER: (
        _PLACE,
        "The webhook's receipt: `partition:offset`, where its record lies in the journal.",
    ),
    APPLIED_HEADER: (
        _PLACE,
        "How much of the INN's partition the answer includes: `partition:next offset`.",
    ),
    STALE_HEADER: (
        {"type": "string", "const": "true"},
        "There only when webhooks that this service acknowledged before are missing in the answer.",
    ),
    OUTCOME_HEADER: (
        {"type": "string", "enum": [str(one) for one in Outcome if one is not Outcome.SEEN]},
        f"What became of the record. There only with `{PREFERENCE_APPLIED}`.",
    ),
    PREFERENCE_APPLIED: (
        {"type": "string", "const": WAIT},
        f"There when what `{PREFER}: {WAIT}=N` asked for was done (RFC 7240).",
    ),
    RETRY_AFTER: (
        {"type": "string", "pattern": "^[1-9][0-9]{0,4}$"},
        "Seconds after which to repeat the request.",
    ),
    CACHE_CONTROL: ({"type": "string", "enum": ["no-store", "no-cache"]}, "Nobody may keep it."),
    VARY: ({"type": "string", "const": "Accept"}, "The body depends on this header."),
    OPENING_HEADER: (_MONEY, "Rubles: the balance before the first entry."),
    CLOSING_HEADER: (_MONEY, "Rubles: the balance after the last entry."),
    CHALLENGE: (
        {"type": "string", "pattern": "^(Bearer|Basic|Webhook) "},
        "How to prove who asks (RFC 9110, section 11.6.1).",
    ),
    DISPOSITION: ({"type": "string"}, "With CSV: a name for the file."),
}


def components() -> dict[str, Header]:
    """Every header of an answer, by its name."""
    return {
        name: {"description": description, "schema": schema}
        for name, (schema, description) in OF_ANSWERS.items()
    }


def of_answer(always: Sequence[str], sometimes: Sequence[str] = ()) -> dict[str, Header]:
    """The headers of one answer: those that are always there, and those that may be."""
    required = {
        name: {"description": description, "required": True, "schema": schema}
        for name, (schema, description) in OF_ANSWERS.items()
        if name in always
    }
    return required | {name: {"$ref": f"#/components/headers/{name}"} for name in sometimes}


def of_requests(settings: Settings) -> dict[str, dict[str, Any]]:
    """The header parameters that more than one request has, by a name for each."""
    limit = settings.prefer_wait_seconds_max
    return {
        "RequestId": {
            "name": REQUEST_ID_HEADER,
            "in": "header",
            "description": (
                "1 to 128 visible ASCII characters, found again in the answer, the logs and the "
                "ledger. Anything else is as none: then one is made."
            ),
            "schema": {"type": "string"},
            "example": "my-request-1",
        },
        "PreferOutcome": _prefer(
            "Answer when the record is applied, with its outcome; a conflict is 409 then. Past N "
            f"seconds (at most {limit:g}) it is a plain 200 without `{PREFERENCE_APPLIED}`."
        ),
        "PreferComplete": _prefer(
            "Include everything that anyone had acknowledged before the request. If N seconds (at "
            f"most {limit:g}) are not enough it is 503, and never a stale answer."
        ),
    }


def _prefer(description: str) -> dict[str, Any]:
    return {
        "name": PREFER,
        "in": "header",
        "description": (
            f"`{WAIT}=N`, whole seconds (RFC 7240). {description} Other preferences are ignored."
        ),
        "schema": {
            "anyOf": [{"type": "string", "pattern": f"^{WAIT}=[0-9]{{1,9}}$"}, {"type": "string"}]
        },
        "example": f"{WAIT}=5",
    }
