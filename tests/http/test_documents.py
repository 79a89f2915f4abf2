"""The API's documents: they say what the service does, and are what they claim to be."""

import re
from typing import Any
from unittest.mock import Mock

import pytest
from jsonschema import Draft202012Validator
from msgspec import json
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from support.documents import at, references_of, schemas_of
from support.webhooks import Serve

from ostatok.errors import InvalidPayment
from ostatok.payment import FIELD_NAMES, parse
from ostatok.settings import Settings, load
from ostatok_http import dead_letters, history, schemas
from ostatok_http.app import create_app
from ostatok_http.documents import openapi
from ostatok_http.documents.examples import PAYMENT
from ostatok_http.documents.older import in_3_0
from ostatok_http.documents.serving import PAGE_ROUTES
from ostatok_http.parts import Ports

OF_THE_API = re.compile(r"/(api/|healthz$|readyz$|metrics$)")
UNREAD = {"webhook", "openapi", "asyncapi"}
"""What comes by the thousand, or is the same for everyone, looks at no parameters."""


def settings_of(*, operators: bool, authentication: bool = False) -> Settings:
    """Settings of a service with or without dead letters, and with or without tokens."""
    return load(http_operators=operators, http_authentication=authentication, log_operations=False)


def routes_of(settings: Settings) -> set[tuple[str, str]]:
    """The methods and addresses that the router knows, each address in its usual form."""
    ports = Ports(*(Mock() for _ in Ports._fields))  # Nobody is asked anything.
    router = create_app(settings, ports).router
    found = set()
    for route in router.routes():
        name = route.name or ""
        path = route.resource.canonical if route.resource else ""
        is_page = name in PAGE_ROUTES
        if OF_THE_API.match(path) and not is_page and not name.endswith(".bare"):
            found.add((route.method.lower(), path))
    # Every GET is answered as a HEAD, which the document says once.
    return {(method, path) for method, path in found if method != "head"}


@pytest.mark.parametrize(
    ("operators", "authentication"), [(False, False), (True, False), (False, True)]
)
def test_every_endpoint_is_in_the_document(operators: bool, authentication: bool) -> None:
    """And nothing else is: dead letters only where they are answered."""
    settings = settings_of(operators=operators, authentication=authentication)
    paths = openapi.document(settings)["paths"]
    described = {(method, path) for path, item in paths.items() for method in item}
    assert described == routes_of(settings)
    has_letters = any("dead-letters" in path for path in paths)
    assert has_letters is (operators or authentication)


@pytest.mark.parametrize("authentication", [False, True])
@pytest.mark.parametrize("operators", [False, True])
def test_it_is_openapi(operators: bool, authentication: bool) -> None:
    """3.1 as it is served, and 3.0 for the page; every reference leads somewhere."""
    document = openapi.document(settings_of(operators=operators, authentication=authentication))
    OpenAPIV31SpecValidator(document).validate()
    OpenAPIV30SpecValidator(in_3_0(document)).validate()
    for schema in schemas_of(document):
        Draft202012Validator.check_schema(schema)
    assert all(at(document, one) for one in references_of(document))


async def test_the_document_says_which_addresses_ask_for_a_token(serve: Serve) -> None:
    """Those that answer 401 without one do, and no other."""
    settings = settings_of(operators=False, authentication=True)
    document = openapi.document(settings)
    client = await serve(http_authentication=True)
    schemes = document["components"]["securitySchemes"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            async with client.request(method, address_of(path, operation)) as answer:
                assert (answer.status == 401) is ("security" in operation), path
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
                    assert [list(one) for one in operation["security"]] == [list(schemes)]
                    assert {"401", "403"} <= set(operation["responses"])
    assert "securitySchemes" not in openapi.document(settings_of(operators=True))["components"]


def test_nothing_of_3_1_is_left_for_the_page() -> None:
    """Its reader knows 3.0 alone, and shows nothing of what it can't understand."""
    older = json.encode(in_3_0(openapi.document(settings_of(operators=True)))).decode()
    for word in ('"null"', '"const"', '"prefixItems"', '"propertyNames"', '"examples":['):
        assert word not in older


async def test_the_parameters_are_those_that_are_read(serve: Serve) -> None:
    """An endpoint names them to who gives another; the document has the same, in that order."""
    client = await serve(http_operators=True)
    document = openapi.document(settings_of(operators=True))
    headers = {"Content-Type": "application/json", dead_letters.BY_HEADER: "test"}
    asked = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not path.startswith("/api/") or operation["operationId"] in UNREAD:
                continue
            address = address_of(path, operation)
            async with client.request(method, f"{address}?x=1", headers=headers) as answer:
                (said,) = re.findall(r"x: is no parameter here; there (.*)$", await error(answer))
            names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
            assert said == (f"are: {', '.join(names)}" if names else "are none"), path
            asked += 1
    assert asked == 8


def address_of(path: str, operation: dict[str, Any]) -> str:
    """An address with the examples of its parameters in it."""
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", one["example"])
    return path


async def error(answer: Any) -> str:
    """What a short body says."""
    return str((await answer.json())["error"])


def test_the_defaults_are_those_of_the_code() -> None:
    """What is meant when a parameter is left out is in the document, and within its own schema."""
    document = openapi.document(settings_of(operators=True))
    log = document["paths"]["/api/organizations/{inn}/log/"]["get"]["parameters"]
    defaults = {one["name"]: one["schema"].get("default") for one in log if one["in"] == "query"}
    assert defaults == {
        "order": history.NEWEST,
        "limit": history.PAGE_ENTRIES_DEFAULT,
        "cursor": None,
        "from": None,
        "to": None,
    }
    for item in document["paths"].values():
        for operation in item.values():
            for one in operation.get("parameters", ()):
                if "default" in one["schema"]:
                    Draft202012Validator(one["schema"]).validate(one["schema"]["default"])


def test_the_payment_is_the_grammars() -> None:
    """Its fields are those that are read, and its example can be posted."""
    schema = openapi.document(settings_of(operators=False))["components"]["schemas"]["Payment"]
    assert tuple(schema["properties"]) == tuple(schema["required"]) == FIELD_NAMES
    assert parse(json.encode(PAYMENT)).operation_id == PAYMENT["operation_id"]
    Draft202012Validator(schema).validate(PAYMENT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operation_id", "ccf0a86d041b4991bcf7e2352f7b8a4a"),
        ("amount", "1.005"),
        ("amount", "-1"),
        ("amount", 0),
        ("amount", "0.00"),
        ("amount", 10**13),
        ("amount", None),
        ("payer_inn", "12345678901"),
        ("payer_inn", 1234567890),
        ("document_number", ""),
        ("document_number", "x" * 51),
        ("document_number", "a\x85b"),
        ("document_date", "27.04.2024"),
        ("document_date", "2024-04-27T25:00"),
    ],
)
def test_what_the_grammar_refuses_the_schema_refuses(field: str, value: object) -> None:
    """As far as a schema can say it."""
    wrong = PAYMENT | {field: value}
    with pytest.raises(InvalidPayment, match=field):
        parse(json.encode(wrong))
    schema = openapi.document(settings_of(operators=False))["components"]["schemas"]["Payment"]
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_each_time_names_its_clock() -> None:
    """A reader need not guess whether the bank's, the receiver's or the ledger's is meant."""
    document = openapi.document(settings_of(operators=True))
    times = [
        one
        for item in document["paths"].values()
        for operation in item.values()
        for one in operation.get("parameters", ())
        if one["schema"].get("format") == schemas.ISO_8601
    ]
    assert len(times) == 7
    assert all(re.search(r"\((created|received)_at\)", one["description"]) for one in times)
    fields = document["components"]["schemas"]["Entry"]["properties"]
    for name, clock in (
        ("created_at", "ledger's"),
        ("received_at", "receiver's"),
        ("document_date", "bank's"),
    ):
        assert clock in fields[name]["description"]
