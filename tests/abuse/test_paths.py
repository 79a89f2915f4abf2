"""Tricks with addresses: what is no INN and no operation id to the letter is not found."""

import pytest
from support.lone import Start, ask, port, start, wait_alive
from support.raw import Target, post, statuses
from support.webhooks import INN, RecordingJournal

__all__ = ["port", "start"]

SILENT_SECONDS = 3.0
OPERATION = "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a"
NO_INN = (
    "",
    "%00",
    f"{INN}%00",
    f"{INN}%0a",
    f"{INN}%0d%0aX:%20y",
    f"{INN}%20",
    f"%20{INN}",
    f"{INN}.",
    f"{INN};a=b",
    f"{INN}%3bfoo",
    f"{INN}%3f",
    f"{INN}%23",
    f"{INN}%2f",
    f"{INN}%2f..%2f{INN}",
    f"..%2f{INN}",
    f"%2e%2e%2f{INN}",
    f"%252e%252e%252f{INN}",
    "..%5c..%5cetc%5cpasswd",
    "%ef%bc%91%ef%bc%92%ef%bc%93%ef%bc%94%ef%bc%95%ef%bc%96%ef%bc%97%ef%bc%98%ef%bc%99%ef%bc%90",
    "%d9%a1%d9%a2%d9%a3%d9%a4%d9%a5%d9%a6%d9%a7%d9%a8%d9%a9%d9%a0",
    "%c0%b11234567890",
    "%ff%fe",
    "+1234567890",
    "-1234567890",
    "1234567890e0",
    "0x499602d2",
    "1_234567890",
    "1" * 4_000,
    "%31" * 100,
    "*",
    "%27%20OR%201=1--",
    "%3cscript%3e",
    "{{7*7}}",
    "$%7bjndi:ldap:%2f%2fx%7d",
)


def asked(path: str, method: str = "GET") -> bytes:
    """Ask for an address as it is written here, which a client library would put right."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return head.encode()


@pytest.mark.parametrize("kind", ["balance", "log", "statement"])
@pytest.mark.parametrize("end", ["/", ""])
async def test_what_is_no_inn_has_no_organization(service: Target, kind: str, end: str) -> None:
    """The 404 of the contract to the letter, on the fast way and on the usual one."""
    for inn in NO_INN:
        received = await service.send(asked(f"/api/organizations/{inn}/{kind}{end}"))
        assert statuses(received) == [404], inn
        assert received.endswith(b'{"error": "Organization not found"}'), inn


@pytest.mark.parametrize("end", ["/", ""])
async def test_what_is_no_operation_id_is_not_found(service: Target, end: str) -> None:
    """The same for operations, whose ids may be written in either case and in no other way."""
    others = [OPERATION.replace("-", sign) for sign in ("", "%2d%2d", "_", "%e2%80%90")]
    wrapped = [f"%7b{OPERATION}%7d", f"urn:uuid:{OPERATION}", f"{OPERATION}%00", OPERATION[:-1]]
    for one in (*NO_INN, *others, *wrapped):
        received = await service.send(asked(f"/api/operations/{one}{end}"))
        assert statuses(received) == [404], one
        assert received.endswith(b'{"error": "Operation not found"}'), one


@pytest.mark.parametrize(
    "path",
    [
        f"//api/organizations/{INN}/balance/",
        f"/api//organizations/{INN}/balance/",
        f"/api/organizations/{INN}//balance/",
        f"/api/organizations/{INN}/balance//",
        f"/api/organizations/{INN}/BALANCE/",
        f"/API/organizations/{INN}/balance/",
        f"/api/organizations/{INN}/balance/;a",
        f"/api/organizations/{INN}/balance/%20",
        f"/api%2forganizations/{INN}/balance/",
        "/api/webhook/bank//",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/console/static/%2e%2e%2fconsole.css",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%00",
        "/%ff",
    ],
)
async def test_other_spellings_of_an_address_lead_nowhere(service: Target, path: str) -> None:
    """There is one way to write each, a slash at its end more or less."""
    received = await service.send(asked(path))
    assert statuses(received) == [404]
    assert received.endswith(b'{"error": "Not found"}') or b"<html" in received


LEADS_INSIDE = (
    f"/api/organizations/{INN}/balance/",
    f"/api/webhook/../organizations/{INN}/balance/",
    f"/api/webhook/%2e%2e/organizations/{INN}/balance/",
    f"/api/webhook/..%2forganizations%2f{INN}%2fbalance/",
    f"/api/webhook/bank/../../organizations/{INN}/balance/",
    f"/api/webhook/bank/..;/../organizations/{INN}/balance/",
    f"//api/organizations/{INN}/balance/",
    "/api/webhook/bank/%2e%2e/%2e%2e/%2e%2e/metrics",
    "/api/webhook/bank%2f..%2f..%2f..%2fmetrics",
    "/api/webhook/%00/../../metrics",
    "/metrics",
    "/healthz",
    "/readyz",
    "/console/",
    "/api/dead-letters/",
    "/api/docs/",
    "/api/webhook/",
    f"/api/webhook/{'x' * 65}/",
    "/api/webhook/bank/x",
    f"http://localhost/api/organizations/{INN}/balance/",
)


@pytest.mark.parametrize("target", ["proxy"], indirect=True)
async def test_the_proxy_has_one_door(target: Target, journal: RecordingJournal) -> None:
    """Whatever does not lead to a webhook is not found there; the service is not even asked.

    Its answers have X-Request-ID.
    """
    for path in LEADS_INSIDE:
        for method in ("GET", "POST", "OPTIONS", "CONNECT", "TRACE", "PUT"):
            received = await target.send(asked(path, method), seconds=SILENT_SECONDS)
            assert set(statuses(received)) <= {400, 404, 405, 421}, (method, path)
            assert b"x-request-id" not in received.lower(), (method, path)
    for door in (b"/api/webhook/bank", b"/api/webhook/bank/", b"/api//webhook/x/../bank/?a=b"):
        taken = await target.send(post(b"Connection: close", path=door))
        assert statuses(taken) == [200], door
    assert len(journal.records) == 3


def test_an_address_is_no_path_of_a_file(start: Start, port: int) -> None:
    """Nor does anything of it get to where a file is opened; the process answers on."""
    process = start(http_serve="webhook,api,console", http_operators="true")
    wait_alive(port, process)
    for name in ("..%2f..%2fsite.py", "%2e%2e/texts.toml", "console.css%00", ".."):
        status, body = ask(port, f"/console/static/{name}")
        assert status == 404, name
        assert b"import " not in body
