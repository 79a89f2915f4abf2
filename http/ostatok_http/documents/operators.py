"""The endpoints for operators: dead letters. They are there only where a setting says so."""

from typing import Any

from ostatok_http.answers import JSON
from ostatok_http.dead_letters import (
    ADDRESS,
    BECAUSE,
    BY,
    BY_HEADER,
    DECISION_PARAMETERS,
    LETTERS_PARAMETERS,
)
from ostatok_http.documents import headers
from ostatok_http.documents.answers import Good, ref
from ostatok_http.documents.endpoint import Endpoint
from ostatok_http.documents.public import links
from ostatok_http.letter_shapes import DeadLetterPage, DiscardDone, RedriveDone, WholeDeadLetter
from ostatok_http.refusals import (
    DEAD_LETTER_NOT_FOUND,
    DECIDED,
    FORBIDDEN,
    FULL,
    INVALID_PARAMETERS,
    MISMATCH,
    NOT_REDRIVABLE,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED,
    Refusal,
)

OPERATORS = "operators"
ONE = f"{ADDRESS}/{{position}}/"

_NO_STORE = (headers.CACHE_CONTROL,)
_KIND = (
    "The header Content-Type must say application/json, also without a body: no page of another "
    "site can make a browser say so."
)
_BY = {
    "name": BY_HEADER,
    "in": "header",
    "required": True,
    "description": "Who decides, in UTF-8. Nobody checks it; it is kept with the decision.",
    "schema": BY.schema,
    "example": "night shift",
}
_DECISION_REFUSALS = (
    *(
        INVALID_PARAMETERS,
        FORBIDDEN,
        DEAD_LETTER_NOT_FOUND,
        TOO_SLOW,
        DECIDED,
        TOO_LARGE,
        UNSUPPORTED,
    ),
    UNAVAILABLE,
)


def endpoints(requests: dict[str, dict[str, Any]]) -> list[Endpoint]:
    """Every endpoint about dead letters."""
    request_id = requests["RequestId"]
    return [*_looks(request_id), *_decisions(request_id)]


_SAME = "$request.path.position"


def _looks(request_id: dict[str, Any]) -> list[Endpoint]:
    listed = "$response.body#/dead_letters/0/position"
    return [
        Endpoint(
            "dead_letters",
            f"{ADDRESS}/",
            OPERATORS,
            "Dead letters, in pages",
            description=(
                "The earliest first. One never goes away, so pages fit together whatever is "
                "decided between one and the next."
            ),
            query=LETTERS_PARAMETERS,
            headers=(request_id,),
            goods=[
                Good(
                    "A page.",
                    ref(DeadLetterPage),
                    always=_NO_STORE,
                    links=links(
                        dead_letter=("position", listed),
                        redrive=("position", listed),
                        discard=("position", listed),
                        dead_letters__next=("cursor", "$response.body#/next"),
                    ),
                )
            ],
            refusals=(INVALID_PARAMETERS, FORBIDDEN, UNAVAILABLE),
        ),
        Endpoint(
            "dead_letter",
            ONE,
            OPERATORS,
            "A dead letter with its record and all decisions",
            headers=(request_id,),
            goods=[
                Good(
                    "The dead letter.",
                    ref(WholeDeadLetter),
                    always=_NO_STORE,
                    links=links(redrive=("position", _SAME), discard=("position", _SAME)),
                )
            ],
            refusals=(INVALID_PARAMETERS, FORBIDDEN, DEAD_LETTER_NOT_FOUND, UNAVAILABLE),
        ),
    ]


def _decisions(request_id: dict[str, Any]) -> list[Endpoint]:
    return [
        _decision(
            "redrive",
            request_id,
            summary="Publish a dead letter again",
            description=(
                "The same bytes under the right key or, when the request has a body, that body. It "
                f"is answered when the journal has the record. {_KIND}"
            ),
            body={
                "required": False,
                "description": "The payment to be published in its place.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Payment"}}},
            },
            goods=Good(
                "It was published, or would be.",
                ref(RedriveDone),
                always=_NO_STORE,
                links=links(
                    dead_letter=("position", _SAME),
                    operation=("operation_id", "$response.body#/operation_id"),
                ),
            ),
            more=(NOT_REDRIVABLE, FULL, MISMATCH),
        ),
        _decision(
            "discard",
            request_id,
            summary="Decide that nothing is to be made of a dead letter",
            description=_KIND,
            body={
                "required": True,
                "description": "Why.",
                "content": {
                    JSON: {
                        "schema": {
                            "type": "object",
                            "required": ["because"],
                            "properties": {"because": BECAUSE.schema},
                            "additionalProperties": False,
                        },
                        "examples": {"usual": {"value": {"because": "a test of the bank's"}}},
                    }
                },
            },
            goods=Good(
                "It was discarded, or would be.",
                ref(DiscardDone),
                always=_NO_STORE,
                links=links(dead_letter=("position", _SAME)),
            ),
        ),
    ]


def _decision(
    name: str,
    request_id: dict[str, Any],
    *,
    goods: Good,
    more: tuple[Refusal, ...] = (),
    **words: Any,
) -> Endpoint:
    return Endpoint(
        name,
        f"{ONE}{name}/",
        OPERATORS,
        method="post",
        query=DECISION_PARAMETERS,
        headers=(_BY, request_id),
        goods=[goods],
        refusals=(*_DECISION_REFUSALS, *more),
        **words,
    )
