"""Each part of the service alone: only what is asked for is answered."""

import pytest
from support.webhooks import GOOD, JSON, WEBHOOK, Serve

ADDRESSES = {
    ("POST", WEBHOOK): "webhook",
    ("POST", "/api/webhook/bank"): "webhook",
    ("GET", "/api/organizations/1234567890/balance/"): "api",
    ("GET", "/api/organizations/1234567890/balance"): "api",
    ("GET", "/api/organizations/1234567890/log/"): "api",
    ("GET", "/api/operations/ccf0a86d-041b-4991-bcf7-e2352f7b8a4a/"): "api",
    ("GET", "/api/dead-letters/"): "api",
    ("GET", "/api/openapi.json"): "api",
    ("GET", "/metrics"): "api",
    ("GET", "/readyz"): "api",
    ("GET", "/console/static/console.css"): "console",
}
"""Methods and addresses, and the part that answers there."""


@pytest.mark.parametrize("parts", ["webhook", "api", "console", "webhook,console"])
async def test_what_is_not_served_is_not_there(serve: Serve, parts: str) -> None:
    """All that is left of another part is a 404 without a word; /healthz is always there."""
    client = await serve(http_serve=parts, http_operators=True)
    for (method, path), part in ADDRESSES.items():
        data = GOOD if method == "POST" else None
        async with client.request(method, path, data=data, headers=JSON) as answer:
            body = await answer.read()
            is_there = body != b'{"error": "Not found"}'
        assert is_there is (part in parts.split(",")), path
    async with client.get("/healthz") as answer:
        assert answer.status == 200


async def test_the_documents_describe_what_is_served(serve: Serve) -> None:
    """No webhook where none is taken; one for each source else."""
    client = await serve(http_serve="api")
    async with client.get("/api/openapi.json") as answer:
        assert not [path for path in (await answer.json())["paths"] if "webhook" in path]
    accept = "[[{0}.accept]]\nbearer.tokens = ['a-token-that-is-long']\n"
    client = await serve(sources=accept.format("bank") + accept.format("other-bank"))
    async with client.get("/api/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    assert "401" in paths["/api/webhook/bank/"]["post"]["responses"]
    assert "/api/webhook/other-bank/" in paths
