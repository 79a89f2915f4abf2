"""The documented proxy: who asks is told by it, and by nobody before it."""

import asyncio
import base64
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from support.proxy import FOLDER, program, running_proxy
from support.raw import Target, post, statuses
from support.webhooks import RecordingJournal

from ostatok.local.ports import free_port
from ostatok_http.doors.clients import Clients

CERTIFICATE = "X-Client-Certificate"
SAID = (
    b"X-Forwarded-For: 198.51.100.1",
    b"X-Forwarded-Host: evil.example",
    b"Forwarded: for=198.51.100.1",
    b"X-Client-Certificate: bGll",
    b"x-client-certificate: bGll",
    b"Connection: close, X-Forwarded-For, X-Client-Certificate",
)


class Upstream:
    """A service that only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.port = free_port()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Note a request."""
        if request.path != "/healthz":
            self.asked.append(request)
        return web.Response()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Give one that listens."""
    noting = Upstream()
    runner = web.ServerRunner(web.Server(noting.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", noting.port).start()
    yield noting
    await runner.cleanup()


async def test_a_client_can_neither_be_another_nor_show_a_certificate_he_does_not_have(
    upstream: Upstream, tmp_path: Path
) -> None:
    """The proxy writes both headers anew; what was in them, and in those like them, is gone."""
    with ExitStack() as stack:
        proxy = await asyncio.to_thread(stack.enter_context, running_proxy(tmp_path, upstream.port))
        target = Target("proxy", proxy.port, proxy.tls())
        assert statuses(await target.send(post(*SAID))) == [200]
    (asked,) = upstream.asked
    assert asked.headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert "".join(asked.headers.getall(CERTIFICATE, [])) == ""
    assert "Forwarded" not in asked.headers
    assert "evil" not in str(asked.headers)
    assert Clients("127.0.0.1").of(asked) == "127.0.0.1"


@pytest.fixture(scope="module")
def bank_ca() -> trustme.CA:
    """Give the authority that the bank's certificates are of."""
    return trustme.CA()


async def test_a_certificate_of_the_bank_is_handed_on(
    upstream: Upstream, tmp_path: Path, bank_ca: trustme.CA
) -> None:
    """As DER in base64, whatever the client wrote there; without one there is no connection."""
    ca = tmp_path / "bank.pem"
    bank_ca.cert_pem.write_to_path(str(ca))
    shown = bank_ca.issue_cert("bank.example")
    with ExitStack() as stack:
        running = running_proxy(
            tmp_path,
            upstream.port,
            "Caddyfile.client-certificates",
            OSTATOK_PROXY_CLIENT_CA=str(ca),
        )
        proxy = await asyncio.to_thread(stack.enter_context, running)
        bank, stranger, nobody = proxy.tls(), proxy.tls(), proxy.tls()
        shown.configure_cert(bank)
        trustme.CA().issue_cert("bank.example").configure_cert(stranger)
        assert statuses(await Target("bank", proxy.port, bank).send(post(*SAID))) == [200]
        for context in (stranger, nobody):
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                assert await Target("other", proxy.port, context).send(post())
    (asked,) = upstream.asked
    (given,) = asked.headers.getall(CERTIFICATE)
    leaf = ssl.PEM_cert_to_DER_cert(shown.cert_chain_pems[0].bytes().decode())
    assert base64.b64decode(given) == leaf


@pytest.mark.parametrize("target", ["proxy"], indirect=True)
async def test_browsers_are_told_to_come_by_tls_alone(
    target: Target, journal: RecordingJournal
) -> None:
    """For a year, on answers of the service and on the proxy's own; neither names its program."""
    for sent in (post(b"Connection: close"), post(b"Connection: close", path=b"/")):
        received = await target.send(sent)
        assert b"\r\nStrict-Transport-Security: max-age=31536000\r\n" in received
        assert b"\r\nServer:" not in received
        assert b"\r\nVia:" not in received
    assert len(journal.records) == 1


async def test_a_webhook_in_clear_text_gets_no_receipt(upstream: Upstream, tmp_path: Path) -> None:
    """Neither by the right name nor by another: 200 means that the journal has it."""
    plain = free_port()
    with ExitStack() as stack:
        running = running_proxy(tmp_path, upstream.port, OSTATOK_PROXY_HTTP_PORT=str(plain))
        await asyncio.to_thread(stack.enter_context, running)
        for host in (b"localhost", b"elsewhere"):
            sent = post(b"Connection: close").replace(b"Host: localhost", b"Host: " + host)
            (status,) = statuses(await Target("plain", plain).send(sent))
            assert status in {308, 403}, host
    assert upstream.asked == []


@pytest.mark.parametrize("name", ["Caddyfile", "Caddyfile.client-certificates"])
def test_the_configuration_is_written_as_caddy_writes_it(name: str, tmp_path: Path) -> None:
    """It is valid, and `caddy fmt` would change nothing of it or of what it takes in."""
    for one in FOLDER.iterdir():
        done = subprocess.run(
            [program(), "fmt", "--diff", str(one)], capture_output=True, text=True, check=False
        )
        changed = [line for line in done.stdout.splitlines() if line.startswith(("+", "-"))]
        assert (done.returncode, changed) == (0, []), one
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca))
    given = {
        "OSTATOK_PROXY_SITE": "payments.example.com",
        "OSTATOK_PROXY_CLIENT_CA": str(ca),
        "HOME": str(tmp_path),
    }
    adapted = subprocess.run(
        [program(), "adapt", "--config", str(FOLDER / name), "--adapter", "caddyfile"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert adapted.returncode == 0, adapted.stderr
    assert '"warn"' not in adapted.stderr
    servers = json.loads(adapted.stdout)["apps"]["http"]["servers"].values()
    assert {one for server in servers for one in server["listen"]} == {":443", ":80"}
    for server in servers:
        assert server["read_header_timeout"] == 10_000_000_000
        assert server["max_header_bytes"] == 16_384
