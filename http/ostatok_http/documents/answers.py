"""Answers as OpenAPI describes them: what went well, and the refusals of refusals.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from ostatok_http.answers import JSON, PROBLEM, REQUEST_ID_HEADER
from ostatok_http.documents import headers
from ostatok_http.refusals import SAYS_MORE, Error, Problem, Refusal, errors_of
from ostatok_http.schemas import Schema

Response = dict[str, Any]


@dataclass(frozen=True)
class Good:
    """An answer to what went well, or as well as it could."""

    description: str
    schema: Schema | None
    """Of its JSON; None when it is none."""
    status: int = 200
    always: tuple[str, ...] = ()
    """Headers beside the request id."""
    sometimes: tuple[str, ...] = ()
    example: Any = None
    links: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Schema] = field(default_factory=dict)
    """Other kinds of body, and the schema of each."""


def ref(kind: type[Struct]) -> Schema:
    """Point at the schema of a type."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def good(answer: Good) -> Response:
    """Describe an answer to what went well."""
    content: dict[str, Any] = {}
    if answer.schema is not None:
        content[JSON] = {"schema": answer.schema}
        if answer.example is not None:
            content[JSON]["examples"] = {"usual": {"value": answer.example}}
    content |= {kind: {"schema": schema} for kind, schema in answer.others.items()}
    response: Response = {
        "description": answer.description,
        "headers": headers.of_answer((REQUEST_ID_HEADER, *answer.always), answer.sometimes),
        "content": content,
    }
    if answer.links:
        response["links"] = answer.links
    return response


def refused(
    refusals: Sequence[Refusal], sometimes: Mapping[int, Sequence[str]]
) -> dict[str, Response]:
    """Describe the refusals of an endpoint, by status: one answer for all of the same."""
    responses: dict[str, Response] = {}
    for status in sorted({one.status for one in refusals}):
        of_it = [one for one in refusals if one.status == status]
        always = [REQUEST_ID_HEADER, headers.VARY]
        if status in {429, 503}:
            always.append(headers.RETRY_AFTER)
        if status == 401:
            always.append(headers.CHALLENGE)
        responses[str(status)] = {
            "description": " ".join(f"`{one.name}`: {one.detail}" for one in of_it),
            "headers": headers.of_answer(always, sometimes.get(status, ())),
            "content": {
                JSON: {"schema": _short(of_it)} | _examples(of_it),
                PROBLEM: {"schema": _problem(of_it)},
            },
        }
    return responses


def _says_more(refusal: Refusal) -> bool:
    return any(issubclass(error, SAYS_MORE) for error in errors_of(refusal))


def _short(refusals: Sequence[Refusal]) -> Schema:
    texts = [
        {"type": "string", "pattern": f"^{one.error}: "}
        if _says_more(one)
        else {"type": "string", "const": one.error}
        for one in refusals
    ]
    unique = [text for number, text in enumerate(texts) if text not in texts[:number]]
    error = unique[0] if len(unique) == 1 else {"anyOf": unique}
    return {"allOf": [ref(Error), {"type": "object", "properties": {"error": error}}]}


def _problem(refusals: Sequence[Refusal]) -> Schema:
    said: Schema = {
        "type": {"enum": [one.type for one in refusals]},
        "title": {"enum": list(dict.fromkeys(one.error for one in refusals))},
        "status": {"const": refusals[0].status},
    }
    return {"allOf": [ref(Problem), {"type": "object", "properties": said}]}


def _examples(refusals: Sequence[Refusal]) -> dict[str, Any]:
    fixed = {one.name: {"value": {"error": one.error}} for one in refusals if not _says_more(one)}
    return {"examples": fixed} if fixed else {}
