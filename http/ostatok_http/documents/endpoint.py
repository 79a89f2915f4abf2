"""One endpoint of the document, and the OpenAPI operation that is made of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ostatok_http import schemas
from ostatok_http.documents.answers import Good, good, refused
from ostatok_http.documents.examples import IN_PATHS
from ostatok_http.parameters import Parameter
from ostatok_http.refusals import FAILED, Refusal
from ostatok_http.schemas import Schema

_PATHS: dict[str, tuple[Schema, str]] = {
    "inn": (schemas.INN, "The payer's INN."),
    "operation_id": (schemas.OPERATION_ID, "The operation, in any case."),
    "position": (schemas.POSITION, "Where the dead record lies: `partition:offset`."),
}


@dataclass(frozen=True)
class Endpoint:
    """What answers at one address to one method."""

    name: str
    """The route's name in the router, and the operation's id."""
    path: str
    tag: str
    summary: str
    goods: Sequence[Good]
    method: str = "get"
    description: str = ""
    query: Sequence[Parameter[Any, Any]] = ()
    headers: Sequence[dict[str, Any]] = ()
    body: dict[str, Any] | None = None
    refusals: Sequence[Refusal] = ()
    sometimes: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Headers that the refusals of a status may have."""
    security: Sequence[dict[str, Any]] = ()
    """What proves who asks, where that is asked."""

    def operation(self) -> dict[str, Any]:
        """Describe it in OpenAPI's words."""
        described: dict[str, Any] = {
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.summary,
        }
        if self.description:
            described["description"] = self.description
        in_path = map(_in_path, re.findall(r"{(\w+)}", self.path))
        if parameters := [*in_path, *map(_in_query, self.query), *self.headers]:
            described["parameters"] = parameters
        if self.body is not None:
            described["requestBody"] = self.body
        if self.security:
            described["security"] = self.security
        refusals = (*self.refusals, FAILED) if self.refusals else ()
        responses = {str(one.status): good(one) for one in self.goods}
        described["responses"] = responses | refused(refusals, self.sometimes)
        return described


def _in_path(name: str) -> dict[str, Any]:
    schema, description = _PATHS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": _less_examples(schema),
        "example": IN_PATHS[name],
    }


def _in_query(parameter: Parameter[Any, Any]) -> dict[str, Any]:
    schema = _less_examples(parameter.kind.schema)
    if parameter.default is not None:
        schema["default"] = parameter.default
    described = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
    }
    example = parameter.default if parameter.example is None else parameter.example
    return described if example is None else {**described, "example": example}


def _less_examples(schema: Any) -> Schema:
    return {name: value for name, value in schema.items() if name != "examples"}
