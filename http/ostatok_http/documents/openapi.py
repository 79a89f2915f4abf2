"""The document of the HTTP API, OpenAPI 3.1: made of the types, limits and refusals of the code."""

from dataclasses import replace
from typing import Any

import msgspec

from ostatok import __version__
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok_http import health, letter_shapes, refusals, schemas, shapes
from ostatok_http.answers import UNLIMITED
from ostatok_http.documents import headers, operators, public, security, webhooks
from ostatok_http.documents.endpoint import Endpoint

VERSION = "3.1.0"
REFS = "#/components/schemas/{name}"

_TYPES = (
    *(shapes.Processed, shapes.Balance, shapes.PastBalance, shapes.Log, shapes.Statement),
    *(shapes.Operation, health.Alive, health.NotReady, refusals.Error, refusals.Problem),
)
_OPERATORS_TYPES = (
    *(letter_shapes.DeadLetterPage, letter_shapes.WholeDeadLetter),
    *(letter_shapes.RedriveDone, letter_shapes.DiscardDone),
)
_TAGS = {
    public.BANK: "For the bank: it posts payments.",
    public.COMPANY: "For the company: balances, and what they are made of.",
    public.WATCHERS: "For those who watch over the service.",
    operators.OPERATORS: "For operators: dead letters, which are records that can be no payment.",
    public.DOCUMENTS: "What the service says of itself.",
}
_OPEN = (
    f" These addresses are there because {PREFIX}HTTP_OPERATORS is true, and ask nobody who he is."
)
_DESCRIPTION = """\
Takes a bank's payments in, and answers what the balance of an INN is.

Money is rubles, written as a JSON number with exactly two decimals: read it as a decimal. Times \
in answers are RFC 3339 in UTC with microseconds; a time in an address is ISO 8601, without a zone \
it is UTC, and a `+` is written `%2B`. There are three clocks: `document_date` is the bank's, \
`received_at` the receiver's, and `created_at` is the ledger's time: the receiver's clock, held so \
that an INN's log is ordered.

Every address is answered without its last slash too, and every GET as a HEAD. A parameter that is \
not known, or given twice, is a 400. A refusal has a short body, or, for `Accept: \
application/problem+json`, an RFC 9457 problem that names every wrong field. Other methods are \
405, other addresses 404.\
"""


def document(settings: Settings) -> dict[str, Any]:
    """Make the document of a service with these settings."""
    requests = headers.of_requests(settings)
    endpoints = webhooks.endpoints(settings, requests) + public.endpoints(requests)
    tags = dict(_TAGS)
    if settings.serves_operators:
        endpoints += operators.endpoints(requests)
    if settings.http_authentication:
        endpoints = list(map(security.guarded, endpoints))
    else:
        tags[operators.OPERATORS] += _OPEN
    if settings.http_client_requests_per_second is not None:
        endpoints = list(map(_limited, endpoints))
    used = {one.tag for one in endpoints}
    return {
        "openapi": VERSION,
        "info": {
            "title": "Ostatok",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name, "description": text} for name, text in tags.items() if name in used
        ],
        "paths": _paths(endpoints),
        "components": {
            "schemas": _schemas(settings),
            "headers": headers.components(),
            **({"securitySchemes": security.SCHEMES} if settings.http_authentication else {}),
        },
    }


def _limited(endpoint: Endpoint) -> Endpoint:
    """Say that a client who asks too often is refused, where that is so."""
    if endpoint.name in UNLIMITED or refusals.TOO_MANY in endpoint.refusals:
        return endpoint
    return replace(endpoint, refusals=(*endpoint.refusals, refusals.TOO_MANY))


def _paths(endpoints: list[Endpoint]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint.operation()
    return paths


def _schemas(settings: Settings) -> dict[str, Any]:
    types = _TYPES + (_OPERATORS_TYPES if settings.serves_operators else ())
    _, found = msgspec.json.schema_components(types, ref_template=REFS)
    return {"Payment": schemas.PAYMENT, **as_encoded(found)}


def as_encoded(node: Any) -> Any:
    """Say of decimals what our encoder makes of them: numbers. msgspec thinks of texts."""
    if isinstance(node, list):
        return [as_encoded(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "decimal":
        node = {**node, "type": "number"}
    return {name: as_encoded(value) for name, value in node.items()}
