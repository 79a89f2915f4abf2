"""Reading the API's documents: what a schema in them says of a value."""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """What checks values by a schema that stands in a document, and points at others there."""
    return Draft202012Validator({**schema, "components": document["components"]})


def schemas_of(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of a document that stands in its own right."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "schema":
                yield value
            elif name == "schemas":
                yield from value.values()
            else:
                yield from schemas_of(value)
    elif isinstance(node, list):
        for one in node:
            yield from schemas_of(one)


def references_of(node: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references_of(value)
    elif isinstance(node, list):
        for one in node:
            yield from references_of(one)


def at(document: dict[str, Any], reference: str) -> Any:
    """What a reference leads to. Raises KeyError when that is nothing."""
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found
