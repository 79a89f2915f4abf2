"""No address of the API is open by oversight."""

from unittest.mock import Mock

from support.webhooks import INN, Serve

from ostatok.settings import load
from ostatok_http.app import create_app
from ostatok_http.documents.serving import PAGE_ROUTES
from ostatok_http.doors.guard import SCOPES_OF
from ostatok_http.parts import Ports

OPEN = {"webhook", "openapi", "asyncapi", *(name.partition(".")[0] for name in PAGE_ROUTES)}
"""Webhooks prove themselves by their source; documents have no data of payers."""
IN_PATHS = {
    "inn": INN,
    "operation_id": "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a",
    "position": "7:1",
}


def routes() -> set[tuple[str, str, str]]:
    """Name, method and address of each route of the API, where it asks for tokens."""
    ports = Ports(*(Mock() for _ in Ports._fields))  # Nobody is asked anything.
    app = create_app(load(http_authentication=True, log_operations=False), ports)
    return {
        ((route.name or "").partition(".")[0], route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }


def test_every_route_asks_for_a_scope_or_is_open_on_purpose() -> None:
    """One that is new is in one of the two lists; one that is gone, in none."""
    assert {name for name, _, _ in routes()} == SCOPES_OF.keys() | OPEN
    assert not SCOPES_OF.keys() & OPEN


async def test_every_guarded_route_answers_401_without_a_token(serve: Serve) -> None:
    """Asked by its own method, with its last slash and without: decisions too."""
    client = await serve(http_authentication=True)
    asked = set()
    for name, method, path in sorted(routes()):
        if name not in SCOPES_OF:
            continue
        async with client.request(method, path.format_map(IN_PATHS)) as answer:
            assert answer.status == 401, (method, path)
        asked.add((name, method))
    assert {("redrive", "POST"), ("discard", "POST")} < asked
    assert {name for name, _ in asked} == SCOPES_OF.keys()
