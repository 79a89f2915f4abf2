"""Bodies that are a JWT: whose signature counts, and what the journal keeps."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS
from support.webhooks import GOOD, WEBHOOK, RecordingJournal, Serve

from ostatok.errors import SettingsError
from ostatok.settings import load
from ostatok_http.doors.senders import senders_of


@pytest.fixture(scope="module")
def rsa() -> RSAPrivateKey:
    """The bank's key."""
    return generate_rsa(65537, 2048)


@pytest.fixture(scope="module")
def curve() -> EllipticCurvePrivateKey:
    """Its other one."""
    return generate_private_key(SECP256R1())


def pem(key: Any) -> bytes:
    """The public part."""
    public = key.public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def sources(folder: Path, content: bytes, more: str = "") -> str:
    """Accept what this key has signed."""
    path = folder / "key"
    path.write_bytes(content)
    return f"[[bank.accept]]\njwt = {{keys = ['{path}']{more}}}\n"


def signed(payload: bytes, key: Any, algorithm: str, **headers: Any) -> bytes:
    """Sign bytes as they are."""
    return PyJWS().encode(payload, key, algorithm, headers).encode()


def claiming(**claims: Any) -> bytes:
    """Give a payment that says when it holds."""
    return json.dumps(json.loads(GOOD) | claims).encode()


async def post(client: Any, body: bytes, kind: str = "application/jwt") -> int:
    """Send it; gives the status."""
    async with client.post(WEBHOOK, data=body, headers={"Content-Type": kind}) as answer:
        return int(answer.status)


@pytest.mark.parametrize("kind", ["application/jwt", "application/jose", "text/plain"])
async def test_the_journal_keeps_the_payment_and_what_was_signed(
    serve: Serve, journal: RecordingJournal, tmp_path: Path, rsa: RSAPrivateKey, kind: str
) -> None:
    """The value is the payload, byte for byte, and the JWT stands beside it as it came."""
    client = await serve(journal=journal, sources=sources(tmp_path, pem(rsa)))
    odd = GOOD.replace(b"145000", b" 145000.10 ")
    body = signed(odd, rsa, "RS256")
    assert await post(client, body, kind) == 200
    ((key, value, headers),) = journal.records
    assert (key, value, headers["signed"]) == (b"1234567890", odd, body)


async def test_keys_are_of_several_kinds(
    serve: Serve,
    journal: RecordingJournal,
    tmp_path: Path,
    rsa: RSAPrivateKey,
    curve: EllipticCurvePrivateKey,
) -> None:
    """A set of JWKs: the one that the JWT names, or any; each by its own algorithm alone."""
    jwks = [
        RSAAlgorithm.to_jwk(rsa.public_key(), as_dict=True) | {"kid": "one"},
        ECAlgorithm.to_jwk(curve.public_key(), as_dict=True) | {"kid": "two"},
    ]
    content = json.dumps({"keys": jwks}).encode()
    client = await serve(journal=journal, sources=sources(tmp_path, content))
    assert await post(client, signed(GOOD, curve, "ES256", kid="two")) == 200
    assert await post(client, signed(GOOD, curve, "ES256")) == 200
    assert await post(client, signed(GOOD, rsa, "RS256", kid="one") + b"\n") == 200
    assert await post(client, signed(GOOD, rsa, "RS256", kid="two")) == 401
    assert await post(client, signed(GOOD, rsa, "PS256")) == 401
    assert await post(client, signed(GOOD, rsa, "RS512")) == 401


async def test_what_our_key_has_not_signed_is_refused(
    serve: Serve, journal: RecordingJournal, tmp_path: Path, rsa: RSAPrivateKey
) -> None:
    """Without a signature, by another key, by our public key taken for a secret, changed, cut."""
    client = await serve(journal=journal, sources=sources(tmp_path, pem(rsa)))
    good = signed(GOOD, rsa, "RS256")
    parts = good.split(b".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=") + b"." + parts[1] + b"."
    forged = _hs256_with(pem(rsa), parts[1])
    other = signed(GOOD, generate_rsa(65537, 2048), "RS256")
    changed = parts[0] + b"." + other.split(b".")[1][:-4] + b"AAAA." + parts[2]
    for body in (GOOD, unsigned, forged, other, changed, good[:-9], b"", b"..", b"\xff.\xff.\xff"):
        assert await post(client, body) == 401, body
    assert journal.records == []


def _hs256_with(public: bytes, payload: bytes) -> bytes:
    """What a library takes that lets the JWT choose the algorithm: its key is public."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    text = head + b"." + payload
    mac = base64.urlsafe_b64encode(hmac.digest(public, text, hashlib.sha256)).rstrip(b"=")
    return text + b"." + mac


@pytest.mark.parametrize(
    ("claims", "more", "status"),
    [
        ({"exp": 600}, "", 200),
        ({"exp": -30}, "", 200),
        ({"exp": -90}, "", 401),
        ({"nbf": 90}, "", 401),
        ({"iat": 90}, "", 401),
        ({"iat": -600}, "", 200),
        ({"iat": -600}, ", age_seconds_max = 300", 401),
        ({"iat": -200}, ", age_seconds_max = 300", 200),
        ({}, ", age_seconds_max = 300", 401),
    ],
)
async def test_a_signature_holds_for_a_time(
    serve: Serve, tmp_path: Path, rsa: RSAPrivateKey, claims: dict[str, int], more: str, status: int
) -> None:
    """By what the JWT says itself, and by how old it may be here: a replayed one is refused."""
    client = await serve(sources=sources(tmp_path, pem(rsa), more))
    now = int(time.time())
    payload = claiming(**{name: now + seconds for name, seconds in claims.items()})
    assert await post(client, signed(payload, rsa, "RS256")) == status


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "ours", "iss": "bank"}, 200),
        ({"aud": ["others", "ours"], "iss": "bank"}, 200),
        ({"aud": "others", "iss": "bank"}, 401),
        ({"aud": ["others"], "iss": "bank"}, 401),
        ({"aud": "ours"}, 401),
        ({"aud": {"ours": 1}, "iss": "bank"}, 401),
        ({}, 401),
    ],
)
async def test_what_was_signed_for_others_is_refused(
    serve: Serve, tmp_path: Path, rsa: RSAPrivateKey, claims: dict[str, Any], status: int
) -> None:
    """A bank's key signs for all its clients: one of them could send his own webhooks here."""
    more = ", claims = {aud = 'ours', iss = 'bank'}"
    client = await serve(sources=sources(tmp_path, pem(rsa), more))
    assert await post(client, signed(claiming(**claims), rsa, "RS256")) == status


async def test_a_sender_changes_over_to_signed_bodies(
    serve: Serve, journal: RecordingJournal, tmp_path: Path, rsa: RSAPrivateKey
) -> None:
    """The way of before still holds for both, and whichever stands first: nobody gets a 400."""
    old = "[[bank.accept]]\nnetworks = ['127.0.0.0/8']\n"
    new = sources(tmp_path, pem(rsa))
    for both in (old + new, new + old):
        client = await serve(journal=journal, sources=both)
        assert await post(client, signed(GOOD, rsa, "RS256")) == 200
        assert await post(client, GOOD, "application/json") == 200
    assert [value for _, value, _ in journal.records] == [GOOD] * 4


async def test_a_signed_body_that_is_no_payment_is_a_400(
    serve: Serve, tmp_path: Path, rsa: RSAPrivateKey
) -> None:
    """As it is to any sender that has proven himself."""
    client = await serve(sources=sources(tmp_path, pem(rsa)))
    assert await post(client, signed(b"{", rsa, "RS256")) == 400
    assert await post(client, signed(b"{}", rsa, "RS256")) == 400
    assert await post(client, signed(claiming(exp="soon"), rsa, "RS256")) == 401


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        b'{"kty": "oct", "k": "c2VjcmV0"}',
        b'{"keys": 5}',
        b"{",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_a_file_without_a_public_key_is_named(tmp_path: Path, content: bytes) -> None:
    """At the start, with the file, and what it should be."""
    with pytest.raises(SettingsError, match="of jwt") as error:
        senders_of(load(sources=sources(tmp_path, content)))
    assert str(tmp_path) in str(error.value)


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    """RFC 7518 wants 2048 bits."""
    weak = pem(generate_rsa(65537, 1024))  # noqa: S505  # that is the test
    with pytest.raises(SettingsError, match="kind that is taken"):
        senders_of(load(sources=sources(tmp_path, weak)))
