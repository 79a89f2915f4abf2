"""What the API's document says of limits and of signed bodies is what the service does."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from support.webhooks import Serve

from ostatok.settings import load
from ostatok_http.answers import JSON
from ostatok_http.documents import openapi
from ostatok_http.documents.older import in_3_0
from ostatok_http.doors.senders import JWT_KINDS

BY_ADDRESS = "[[NAME.accept]]\nnetworks = ['203.0.113.0/24']\n"
LIMITED = "[limited]\nrequests_per_second = 5\n" + BY_ADDRESS.replace("NAME", "limited")
FREE = BY_ADDRESS.replace("NAME", "free")


def document_of(**given: Any) -> dict[str, Any]:
    """The document, which is OpenAPI 3.1, and 3.0 for the page."""
    document = openapi.document(load(log_operations=False, **given))
    OpenAPIV31SpecValidator(document).validate()
    OpenAPIV30SpecValidator(in_3_0(document)).validate()
    return document


def refused(document: dict[str, Any], status: str) -> set[str]:
    """The addresses that may answer it."""
    return {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if status in operation["responses"]
    }


@pytest.mark.parametrize("authentication", [False, True])
async def test_with_a_limit_of_clients_each_address_that_has_it_says_so(
    serve: Serve, authentication: bool
) -> None:
    """Those that answer 429 to who has used it up do, and no other."""
    given = {"http_client_requests_per_second": 0.01, "http_client_requests_burst": 1}
    given |= {"http_authentication": authentication, "http_operators": not authentication}
    document = document_of(**given)
    client = await serve(**given)
    async with client.get("/"):
        pass
    found = set()
    for path, item in document["paths"].items():
        for method in item:
            async with client.request(method, path.format_map(dict.fromkeys(NAMES, "x"))) as answer:
                if answer.status == 429:
                    found.add(path)
    assert refused(document, "429") == found == document["paths"].keys() - MACHINES


NAMES = ("inn", "operation_id", "position")
MACHINES = {"/healthz", "/readyz", "/metrics"}


def test_without_one_only_a_source_with_a_rate_has_it() -> None:
    """Nothing else answers 429; a client's limit holds for every source."""
    assert refused(document_of(http_operators=True), "429") == set()
    sources = {"sources": LIMITED + FREE}
    assert refused(document_of(**sources), "429") == {"/api/webhook/limited/"}
    both = document_of(**sources, http_client_requests_per_second=1)
    assert {"/api/webhook/limited/", "/api/webhook/free/"} < refused(both, "429")
    of_sources = {"/api/webhook/limited/", "/api/webhook/free/"}
    assert refused(document_of(**sources), "401") == of_sources


def test_a_source_that_signs_bodies_takes_their_kinds_too(tmp_path: Path) -> None:
    """A JWT is a text, not a payment; other sources take JSON alone."""
    key = tmp_path / "key"
    public = generate_private_key(SECP256R1()).public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signs = f"[[signs.accept]]\njwt.keys = ['{key}']\n"
    paths = document_of(sources=signs + FREE)["paths"]
    body = paths["/api/webhook/signs/"]["post"]["requestBody"]
    assert body["content"].keys() == {JSON, *JWT_KINDS}
    assert body["content"][JSON]["schema"] == {"$ref": "#/components/schemas/Payment"}
    for kind in JWT_KINDS:
        assert body["content"][kind]["schema"]["type"] == "string"
        assert kind in body["description"]
    assert paths["/api/webhook/free/"]["post"]["requestBody"]["content"].keys() == {JSON}
