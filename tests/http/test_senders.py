"""Who may send webhooks: each proof, what is none, and how one is replaced by another."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from standardwebhooks import Webhook
from support.webhooks import GOOD, JSON, WEBHOOK, RecordingJournal, Serve, connect, head

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
PADDED = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SECRET, OTHER = "a-secret-that-is-long", "another-secret-that-is-long"

STANDARD = f"[[bank.accept]]\nstandard_webhooks.secrets = ['{OLD}', '{NEW}']\n"
HMAC = f"[[bank.accept]]\nhmac = {{header = 'X-Signature', secrets = ['{SECRET}', '{OTHER}']}}\n"
BASE64 = (
    f"[[bank.accept]]\nhmac = {{header = 'X-Hub', secrets = ['{SECRET}'], encoding = 'base64', "
    "prefix = 'sha256='}\n"
)
BEARER = f"[[bank.accept]]\nbearer.tokens = ['{SECRET}', '{OTHER}']\n"
BASIC = f"[[bank.accept]]\nbasic = {{user = 'bank', passwords = ['{SECRET}', '{OTHER}']}}\n"

Proof = Mapping[str, str]


def standard(
    body: bytes = GOOD, secret: str = NEW, age_seconds: float = 0, **changed: str
) -> dict[str, str]:
    """Sign as Standard Webhooks says, by its own library."""
    moment = datetime.now(UTC) - timedelta(seconds=age_seconds)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }
    return headers | {name.replace("_", "-"): text for name, text in changed.items()}


def digest(body: bytes = GOOD, secret: str = SECRET) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(secret.encode(), body, hashlib.sha256)


def basic(password: str = SECRET, user: str = "bank") -> dict[str, str]:
    """RFC 7617."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str = SECRET) -> dict[str, str]:
    """RFC 6750."""
    return {"Authorization": f"Bearer {token}"}


async def post(
    client: ClientSession, proof: Any = None, body: bytes = GOOD, path: str = WEBHOOK
) -> tuple[int, bytes]:
    """Send a webhook; gives status and body."""
    headers = [*JSON.items(), *dict(proof or {}).items()]
    async with client.post(path, data=body, headers=headers) as answer:
        return answer.status, await answer.read()


ACCEPTED = (200, b'{"message": "Payment processed successfully"}')
REFUSED = (401, b'{"error": "Unauthorized"}')


@pytest.mark.parametrize(
    ("sources", "proof"),
    [
        (STANDARD, standard),
        (STANDARD, lambda: standard(secret=OLD)),
        (STANDARD.replace(OLD, PADDED), lambda: standard(secret=PADDED)),
        (STANDARD.replace(OLD, PADDED.rstrip("=")), lambda: standard(secret=PADDED)),
        (STANDARD, lambda: standard(age_seconds=200)),
        (STANDARD, lambda: standard(age_seconds=-200)),
        (STANDARD, lambda: standard() | {"webhook-signature": "v1a,x " + _signature()}),
        (HMAC, lambda: {"X-Signature": digest().hex()}),
        (HMAC, lambda: {"x-signature": digest(secret=OTHER).hex().upper()}),
        (BASE64, lambda: {"X-Hub": "sha256=" + base64.b64encode(digest()).decode()}),
        (BEARER, bearer),
        (BEARER, lambda: bearer(OTHER)),
        (BASIC, basic),
        (BASIC, lambda: basic(OTHER)),
    ],
)
async def test_who_proves_it_is_let_in(
    serve: Serve, journal: RecordingJournal, sources: str, proof: Callable[[], Proof]
) -> None:
    """By each secret of several; answer and record are what they are without any of this."""
    client = await serve(journal=journal, sources=sources)
    assert await post(client, proof()) == ACCEPTED
    ((_, value, headers),) = journal.records
    assert (value, headers["source"]) == (GOOD, b"bank")
    assert "signed" not in headers


def _signature() -> str:
    return standard()["webhook-signature"]


@pytest.mark.parametrize(
    ("sources", "proof"),
    [
        (STANDARD, dict),
        (STANDARD, lambda: standard(secret="whsec_" + "bm9u" * 8)),
        (STANDARD, lambda: standard(body=GOOD.replace(b"145000", b"145001"))),
        (STANDARD, lambda: standard(age_seconds=301)),
        (STANDARD, lambda: standard(age_seconds=-302)),
        (
            STANDARD.replace("\n", "\nstandard_webhooks.tolerance_seconds = 60\n", 1),
            lambda: standard(age_seconds=100),
        ),
        (STANDARD, lambda: standard(webhook_id="msg_2")),
        (STANDARD, lambda: standard(webhook_timestamp=str(int(datetime.now(UTC).timestamp()) + 9))),
        (STANDARD, lambda: standard(webhook_timestamp="nan")),
        (STANDARD, lambda: standard(webhook_timestamp="1e400")),
        (STANDARD, lambda: standard(webhook_timestamp="")),
        (STANDARD, lambda: standard(webhook_signature="v1")),
        (STANDARD, lambda: standard(webhook_signature="v1,a,b")),
        (STANDARD, lambda: standard(webhook_signature="v1,*")),
        (STANDARD, lambda: standard(webhook_signature="v1a," + _signature()[3:])),
        (HMAC, dict),
        (HMAC, lambda: {"X-Signature": digest(secret="not-this-secret-at-all").hex()}),
        (HMAC, lambda: {"X-Signature": digest(body=GOOD + b" ").hex()}),
        (HMAC, lambda: {"X-Signature": digest().hex()[:-2]}),
        (HMAC, lambda: {"X-Signature": ""}),
        (HMAC, lambda: {"X-Signature": "ж" * 32}),
        (BASE64, lambda: {"X-Hub": base64.b64encode(digest()).decode()}),
        (BASE64, lambda: {"X-Hub": "sha256=" + digest().hex()}),
        (BEARER, dict),
        (BEARER, lambda: bearer("no")),
        (BEARER, lambda: bearer("")),
        (BEARER, lambda: bearer(SECRET + ", " + OTHER)),
        (BEARER, lambda: {"Authorization": SECRET}),
        (BEARER, lambda: {"Authorization": "Bearer ж"}),
        (BASIC, lambda: basic("no")),
        (BASIC, lambda: basic(user="other")),
        (BASIC, lambda: {"Authorization": "Basic *"}),
        (BASIC, bearer),
    ],
)
async def test_who_does_not_is_not(
    serve: Serve, journal: RecordingJournal, sources: str, proof: Callable[[], Proof]
) -> None:
    """Nothing reaches the journal, and the answer says nothing of what was wrong."""
    client = await serve(journal=journal, sources=sources)
    assert await post(client, proof()) == REFUSED
    assert journal.records == []


@pytest.mark.parametrize(
    ("sources", "name", "value"),
    [
        (STANDARD, "webhook-signature", _signature),
        (HMAC, "X-Signature", lambda: digest().hex()),
        (BEARER, "Authorization", lambda: bearer()["Authorization"]),
    ],
)
async def test_a_header_that_comes_twice_is_none(
    serve: Serve, journal: RecordingJournal, sources: str, name: str, value: Callable[[], str]
) -> None:
    """A proxy may have looked at the other one."""
    client = await serve(journal=journal, sources=sources)
    reader, writer = await connect(client)
    given = standard() if sources is STANDARD else {}
    headers = {**given, name: value()}
    lines = [f"{one}: {text}".encode() for one, text in headers.items()]
    twice = f"{name}: {value()}".encode()
    writer.write(head(b"Content-Length: %d" % len(GOOD), *lines, twice) + GOOD)
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    assert journal.records == []


async def test_what_is_asked_is_named(serve: Serve) -> None:
    """RFC 9110 wants of a 401 how to do better."""
    client = await serve(sources=BEARER + BASIC + STANDARD)
    async with client.post(WEBHOOK, data=GOOD, headers=JSON) as answer:
        assert answer.headers["WWW-Authenticate"] == (
            'Bearer realm="bank", Basic realm="bank", charset="UTF-8", Webhook realm="bank"'
        )


async def test_nothing_is_parsed_before_it_is_proven(
    serve: Serve, journal: RecordingJournal
) -> None:
    """A wrong body is a 400 to who has proven who he is, and a 401 to all others."""
    client = await serve(journal=journal, sources=STANDARD)
    for body in (b"{", b"", b"\xff" * 8, b"[" * 60_000):
        assert await post(client, standard(), body) == REFUSED
    assert await post(client, standard(b"{"), b"{") == (400, b'{"error": "Invalid data"}')
    assert journal.records == []


async def test_a_body_is_not_even_read_for_who_can_not_be_let_in(serve: Serve) -> None:
    """What the head already lacks is refused before the body has come."""
    client = await serve(sources=BEARER)
    reader, writer = await connect(client)
    writer.write(head(b"Content-Length: 65536"))
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()


async def test_any_way_and_all_of_it(serve: Serve, journal: RecordingJournal) -> None:
    """One accept holds when all that it names does; of several any one is enough."""
    both = BEARER + f"hmac = {{header = 'X-Signature', secrets = ['{SECRET}']}}\n"
    client = await serve(journal=journal, sources=both + STANDARD)
    signature = {"X-Signature": digest().hex()}
    assert await post(client, bearer()) == REFUSED
    assert await post(client, signature) == REFUSED
    assert await post(client, bearer() | signature) == ACCEPTED
    assert await post(client, standard()) == ACCEPTED


async def test_each_source_has_its_address(serve: Serve, journal: RecordingJournal) -> None:
    """With a slash at its end or without; the journal names it; there are no others."""
    client = await serve(journal=journal, sources=STANDARD + BEARER.replace("bank", "1c-other"))
    for path in ("/api/webhook/1c-other/", "/api/webhook/1c-other"):
        assert await post(client, bearer(), path=path) == ACCEPTED
    assert await post(client, standard()) == ACCEPTED
    assert [headers["source"] for _, _, headers in journal.records] == [
        b"1c-other",
        b"1c-other",
        b"bank",
    ]
    assert await post(client, bearer()) == REFUSED
    assert await post(client, standard(), path="/api/webhook/1c-other/") == REFUSED
    for path in ("/api/webhook/third/", "/api/webhook/", "/api/webhook/Bank/"):
        assert (await post(client, standard(), path=path))[0] == 404
    async with client.get("/api/webhook/1c-other/") as answer:
        assert answer.status == 405


async def test_without_the_bank_there_is_no_bank(serve: Serve) -> None:
    """Who has named sources has named all of them."""
    client = await serve(sources=BEARER.replace("bank", "other"))
    assert (await post(client, bearer()))[0] == 404


async def test_a_source_has_its_rate(serve: Serve, journal: RecordingJournal) -> None:
    """Past it 429, with when to come again; who has not proven to be it uses nothing of it up."""
    rate = "[bank]\nrequests_per_second = 0.5\n"
    client = await serve(journal=journal, sources=rate + BEARER + STANDARD.replace("bank", "two"))
    for _ in range(20):
        assert await post(client, bearer("no")) == REFUSED
    assert await post(client, bearer()) == ACCEPTED
    headers = JSON | bearer()
    async with client.post(WEBHOOK, data=GOOD, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (429, {"error": "Too many requests"})
        assert answer.headers["Retry-After"] == "2"
    assert await post(client, standard(), path="/api/webhook/two/") == ACCEPTED
    assert len(journal.records) == 2
