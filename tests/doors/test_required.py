"""Nobody is let in by mistake: what a process wants before others than this machine reach it."""

from typing import Any

import pytest

from ostatok.errors import SettingsError
from ostatok.settings import load
from ostatok_http.doors.required import require_doors

SOURCES = "[bank]\naccept = [{bearer = {tokens = ['a-token-that-is-long']}}]"
DOORS = {"sources": SOURCES, "http_authentication": True}
FAR = {"http_host": "0.0.0.0"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"http_host": "::1"},
        {"http_host": "localhost"},
        {**FAR, **DOORS},
        {**FAR, "http_open_to_all": True},
        {**FAR, "http_serve": "webhook", "sources": SOURCES},
        {**FAR, "http_serve": "api", "http_authentication": True},
        {**FAR, "http_serve": "console", "http_authentication": True},
        {"http_trusted_proxies": "10.0.0.0/8", **DOORS},
    ],
)
def test_a_start_that_is_safe(given: dict[str, Any]) -> None:
    """On this machine alone, with what asks who somebody is, or because somebody said so."""
    require_doors(load(**given))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (FAR, {"OSTATOK_SOURCES", "OSTATOK_HTTP_AUTHENTICATION"}),
        ({"http_host": "192.0.2.1"}, {"OSTATOK_SOURCES", "OSTATOK_HTTP_AUTHENTICATION"}),
        ({"http_host": "example.test"}, {"OSTATOK_SOURCES", "OSTATOK_HTTP_AUTHENTICATION"}),
        ({**FAR, "sources": SOURCES}, {"OSTATOK_HTTP_AUTHENTICATION"}),
        ({**FAR, "http_authentication": True}, {"OSTATOK_SOURCES"}),
        ({**FAR, "http_serve": "webhook"}, {"OSTATOK_SOURCES"}),
        ({**FAR, "http_serve": "console"}, {"OSTATOK_HTTP_AUTHENTICATION"}),
        (
            {"http_trusted_proxies": "10.0.0.0/8"},
            {"OSTATOK_SOURCES", "OSTATOK_HTTP_AUTHENTICATION"},
        ),
    ],
)
def test_a_start_that_is_not_says_what_is_missing(given: dict[str, Any], named: set[str]) -> None:
    """And how to do without it on purpose."""
    with pytest.raises(SettingsError) as refused:
        require_doors(load(**given))
    said = str(refused.value)
    assert {
        one for one in ("OSTATOK_SOURCES", "OSTATOK_HTTP_AUTHENTICATION") if one in said
    } == named
    assert "OSTATOK_HTTP_OPEN_TO_ALL=true" in (refused.value.hint or "")
