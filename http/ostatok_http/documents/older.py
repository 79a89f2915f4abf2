"""The document for readers of OpenAPI 3.0, as the page's Swagger UI is one."""

from typing import Any

VERSION = "3.0.3"

_NULL = {"type": "null"}


def in_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """Write a document of ours with the words of OpenAPI 3.0, losing nothing but precision.

    3.0 has no null type, no const, no tuples and no list of examples in a schema, its exclusive
    limits are flags, and beside a reference nothing counts.
    """
    return {**_older(document), "openapi": VERSION}


def _older(node: Any) -> Any:
    if isinstance(node, list):
        return [_older(one) for one in node]
    if not isinstance(node, dict):
        return node
    return _schema({name: _older(value) for name, value in node.items()})


def _schema(node: dict[str, Any]) -> dict[str, Any]:
    """Change what is a schema's; nothing else in our documents has these words with such values."""
    if isinstance(node.get("examples"), list):
        node["example"] = node.pop("examples")[0]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "prefixItems" in node:
        del node["prefixItems"]
        node["items"] = {}
    for limit, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in node:
            node[limit], node[flag] = node[flag], True
    if isinstance(node.get("anyOf"), list) and _NULL in node["anyOf"]:
        node["nullable"] = True
        others = [one for one in node.pop("anyOf") if one != _NULL]
        node |= {"allOf": others} if len(others) == 1 else {"anyOf": others}
    node.pop("propertyNames", None)
    if "identifier" in node:  # of a licence
        del node["identifier"]
    if "$ref" in node and len(node) > 1:
        node["allOf"] = [{"$ref": node.pop("$ref")}]
    return node
