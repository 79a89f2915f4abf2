"""Senders that are told by where they come from: networks, certificates."""

import base64
import hashlib
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from aiohttp import ClientSession
from support.tls import tls_settings
from support.webhooks import GOOD, JSON, WEBHOOK, RecordingJournal, Serve

NETWORKS = "[[bank.accept]]\nnetworks = ['203.0.113.0/24', '2001:db8::/32']\n"
HEADER = "X-Client-Certificate"
PROXY = "127.0.0.0/8"


async def post(client: ClientSession, headers: Any = (), **given: Any) -> int:
    """Send a webhook; gives the status."""
    sent = [*JSON.items(), *headers]
    async with client.post(WEBHOOK, data=GOOD, headers=sent, **given) as answer:
        return answer.status


def forwarded(*values: str) -> list[tuple[str, str]]:
    """What proxies say of whom they ask for."""
    return [("X-Forwarded-For", value) for value in values]


async def test_a_network_is_that_of_the_connection(serve: Serve, journal: RecordingJournal) -> None:
    """Whatever the client writes: no proxy is named, so none is believed."""
    far = await serve(journal=journal, sources=NETWORKS)
    assert await post(far) == 401
    assert await post(far, forwarded("203.0.113.9")) == 401
    near = await serve(journal=journal, sources=NETWORKS.replace("203.0.113.0/24", PROXY))
    assert await post(near) == 200


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (["203.0.113.9"], 200),
        (["2001:db8::9"], 200),
        (["198.51.100.1, 203.0.113.9"], 200),
        (["203.0.113.9, 198.51.100.1"], 401),
        (["203.0.113.9", "198.51.100.1"], 401),
        (["203.0.113.9, unknown"], 401),
        (["198.51.100.1"], 401),
        ([], 401),
    ],
)
async def test_a_proxy_of_ours_says_who_asks(serve: Serve, values: list[str], status: int) -> None:
    """By what it adds itself; what the client had written there before is not believed."""
    client = await serve(sources=NETWORKS, http_trusted_proxies=PROXY)
    assert await post(client, forwarded(*values)) == status


def of_pem(certificate: trustme.LeafCert) -> bytes:
    """The DER of a certificate."""
    return ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates here."""
    return trustme.CA()


@pytest.fixture(scope="module")
def banks(authority: trustme.CA) -> trustme.LeafCert:
    """The bank's certificate."""
    return authority.issue_cert("bank.example")


def pinned(certificate: trustme.LeafCert, *more: str) -> str:
    """Accept the certificate with this fingerprint."""
    lines = [f"sha256 = ['{hashlib.sha256(of_pem(certificate)).hexdigest()}']", *more]
    return f"[[bank.accept]]\nclient_certificate = {{{', '.join(lines)}}}\n"


NAMED = "[[bank.accept]]\nclient_certificate.names = ['Bank.example']\n"


@pytest.mark.parametrize("way", ["pinned", "named"])
async def test_a_certificate_is_shown_in_the_handshake(
    serve: Serve, tmp_path: Path, authority: trustme.CA, banks: trustme.LeafCert, way: str
) -> None:
    """By its fingerprint or its name; another one of the same CA, and none, are not let in."""
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    client = await serve(
        sources=pinned(banks) if way == "pinned" else NAMED,
        http_tls_client_ca_file=ca,
        **tls_settings(authority, tmp_path),
    )
    url = str(client._base_url).replace("http:", "https:")
    other = authority.issue_cert("other.example")
    for shown, status in ((banks, 200), (other, 401), (None, 401)):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if shown is not None:
            shown.configure_cert(context)
        async with ClientSession(url) as session:
            assert await post(session, ssl=context) == status
            async with session.get("/healthz", ssl=context) as answer:
                assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_certificate_is_handed_on_by_a_proxy_of_ours(
    serve: Serve, banks: trustme.LeafCert, authority: trustme.CA
) -> None:
    """As base64 of its DER, or as PEM in percents; of anybody else the header is not looked at."""
    sources = pinned(banks, f"header = '{HEADER}'")
    der = base64.b64encode(of_pem(banks)).decode()
    pem = quote(banks.cert_chain_pems[0].bytes().decode())
    other = base64.b64encode(of_pem(authority.issue_cert("bank.example"))).decode()
    behind = await serve(sources=sources, http_trusted_proxies=PROXY)
    for text, status in (
        (der, 200),
        (f":{der}:", 200),
        (pem, 200),
        (other, 401),
        ("", 401),
        ("%", 401),
        (der[:-8], 401),
    ):
        assert await post(behind, [(HEADER, text)]) == status, text
    assert await post(behind, [(HEADER, der), (HEADER, der)]) == 401
    exposed = await serve(sources=sources, http_trusted_proxies="203.0.113.1/32")
    assert await post(exposed, [(HEADER, der)]) == 401
