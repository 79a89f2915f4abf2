"""Secrets that can be recognised wherever they come out, and where to look for them.

A new secret setting gets a value in :data:`SETTINGS`; something else that clients send or that is
shown once goes into :data:`SENT`. `tests/leaks` plants them all, and looks for each.
"""

import base64
import hashlib
import http.client
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from ostatok.setting_types import PREFIX
from support.payments import body

SECONDS_MAX = 20.0
ANSWER_BYTES_MAX = 1_000_000


def planted(name: str) -> str:
    """A text that is nowhere else, the same in each run.

    Letters and digits, so that it is never quoted, and 30 of them, so that base64 needs no padding.
    """
    return "pl4nted" + hashlib.sha256(name.encode()).hexdigest()[:23]


DATABASE_PASSWORD = planted("database_password")
SASL_PASSWORD = planted("kafka_sasl_password")
KEY_PASSWORD = planted("kafka_ssl_key_password")

SETTINGS: Mapping[str, str] = {
    # libpq prefers the other one: that this one is wrong shows that it does.
    "database_url": f"postgresql://nobody:{planted('database_url')}@127.0.0.1:5432/none",
    "database_password": DATABASE_PASSWORD,
    "kafka_sasl_password": SASL_PASSWORD,
    "kafka_ssl_key_password": KEY_PASSWORD,
    "traces_headers": f"Authorization=Bearer {planted('traces_headers')}",
    "sources": f"""
[bank]
[[bank.accept]]
networks = ["127.0.0.0/8"]
[partner]
[[partner.accept]]
bearer.tokens = ["{planted("sources")}"]
[[partner.accept]]
standard_webhooks.secrets = ["whsec_{base64.b64encode(planted("sources").encode()).decode()}"]
[[partner.accept]]
hmac = {{ header = "X-Signature", secrets = ["{planted("sources")}"] }}
[[partner.accept]]
basic = {{ user = "partner", passwords = ["{planted("sources")}"] }}
""",
}
"""A value for each secret setting, with a planted text in it."""

SENT: Mapping[str, str] = {
    "Authorization": f"Bearer ost_{planted('token')}",
    "Proxy-Authorization": "Basic " + base64.b64encode(planted("proxy").encode()).decode(),
    "Cookie": f"ostatok_session={planted('session')}; ostatok_theme=dark",
    "Webhook-Signature": f"v1,{planted('signature')}",
    "X-Api-Key": planted("key"),
    "X-CSRF-Token": planted("csrf"),
}
"""Headers that clients prove by who they are."""

QUERY = f"token={planted('query')}"
"""What some put into an address, where it should never be."""

TYPED = planted("typed")
"""A password that somebody types: where it is wrong, and where the name belongs."""

SECRET_NAMES = (
    *(*SETTINGS, "token", "proxy", "session", "signature", "key", "csrf", "query", "typed"),
)
SECRETS = {name: planted(name) for name in SECRET_NAMES}

CONTENT = {"good body": planted("good body"), "bad body": planted("bad body")}
"""Bodies are no secrets where they are kept and shown; they don't belong anywhere else."""


def forms(text: str) -> set[bytes]:
    """A text as it may lie about: itself, in hexadecimal, and inside of anything in base64."""
    raw = text.encode()
    found = {raw, raw.hex().encode()}
    for before in range(3):
        # The first and the last character depend on what stands beside it.
        coded = base64.b64encode(b"\0" * before + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        found.add(coded[first:last])
    return found


FORMS = {name: forms(text) for name, text in {**SECRETS, **CONTENT}.items()}


def found_in(
    text: bytes, names: Iterable[str] = SECRETS, also: Mapping[str, str] = {}
) -> list[str]:
    """The secrets that a text has in it, by name, with what stands around the first of each.

    ``also`` are some that nobody could know beforehand.
    """
    wanted = {name: FORMS[name] for name in names} | {
        name: forms(one) for name, one in also.items()
    }
    found: list[str] = []
    for name, written in wanted.items():
        for form in written:
            at = text.find(form)
            if at >= 0:
                found.append(f"{name}: …{text[max(0, at - 200) : at + 100]!r}…")
    return found


def variables() -> dict[str, str]:
    """Every secret setting as a variable."""
    return {PREFIX + name.upper(): text for name, text in SETTINGS.items()}


class Exchange(NamedTuple):
    """A request, and all that came back."""

    asked: str
    answer: bytes


def ask(  # as HTTP has it
    port: int,
    method: str,
    path: str,
    content: bytes | None = None,
    known: str | None = None,
    **headers_: str,
) -> Exchange:
    """Ask a service, with every secret that a client can send in a header.

    ``known`` is an Authorization that is right.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    headers = {**SENT, "Authorization": known or SENT["Authorization"], **headers_}
    try:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        head = f"{answer.status} {answer.headers.as_string()}".encode()
        return Exchange(f"{method} {path.partition('?')[0]}", head + answer.read(ANSWER_BYTES_MAX))
    finally:
        connection.close()


PAID = "7707083893"
OPERATION = "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a"
WEBHOOK = "/api/webhook/bank/"
PARTNERS_WEBHOOK = "/api/webhook/partner/"

ENDPOINTS = (
    f"/api/organizations/{PAID}/balance/",
    f"/api/organizations/{PAID}/log/",
    f"/api/organizations/{PAID}/statement/",
    "/api/organizations/none/balance/",
    f"/api/operations/{OPERATION}/",
    "/api/operations/none/",
    "/api/dead-letters/",
    "/api/openapi.json",
    "/api/nothing/",
    "/healthz",
    "/readyz",
    "/metrics",
)
PAGES = (
    "/console/",
    "/console/organizations/",
    f"/console/organizations/{PAID}/",
    f"/console/operations/{OPERATION}/",
    f"/console/search/?q={OPERATION}",
    "/console/conflicts/",
    "/console/dead-letters/",
    "/console/recovery/",
    "/console/language/en",
    "/console/nothing/",
)


def webhooks() -> list[bytes]:
    """Bodies: good, the same again, a conflict, and bad ones."""
    good = {"operation_id": OPERATION, "payer_inn": PAID, "extra": planted("good body")}
    bad = planted("bad body")
    return [
        *(body(**good), body(**good), body(**good, amount=1)),
        *(body(payer_inn=f"not {bad}"), body(amount=bad), body(document_number=bad * 9)),
        *(bad.encode(), b"", b"x" * 100_000),
    ]


def drive(port: int, token: str) -> list[Exchange]:
    """Ask a service for everything that it answers to, rightly and wrongly.

    Once as somebody who proves who he is, once as somebody whose proofs are all wrong.
    """
    mark, right = f"?{QUERY}", f"Bearer {token}"
    sender = f"Bearer {planted('sources')}"
    done = [
        ask(port, "POST", path, one) for path in (WEBHOOK, WEBHOOK + mark) for one in webhooks()
    ]
    done += [ask(port, "POST", PARTNERS_WEBHOOK, webhooks()[0], one) for one in (sender, None)]
    for known in (right, None):
        done += [ask(port, "GET", path, known=known) for path in (*ENDPOINTS, *PAGES)]
        done += [ask(port, "GET", path + mark, known=known) for path in ENDPOINTS]
        done += [
            ask(port, "GET", WEBHOOK + mark, known=known),
            ask(port, "DELETE", WEBHOOK + mark, known=known),
            ask(port, "POST", "/api/dead-letters/0:0/redrive/" + mark, known=known),
            ask(port, "POST", "/console/dead-letters/", f"token={planted('csrf')}".encode(), known),
        ]
    for number, request in enumerate(broken_requests()):
        done.append(Exchange(f"broken request {number}", raw(port, request)))
    return done


def log_in(port: int, name: str, password: str) -> http.client.HTTPMessage:
    """Log in to the console, as a browser does; gives the head of what came back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    form = urlencode({"name": name, "password": password})
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://127.0.0.1:{port}",
    }
    try:
        connection.request("POST", "/console/login/", form, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.headers
    finally:
        connection.close()


def broken_requests() -> list[bytes]:
    """Requests that no parser takes, with a secret in each: some answer with what they got."""
    secret = SENT["Authorization"].encode()
    line = f"GET /healthz?{QUERY} HTTP/1.1\r\n".encode()
    host = b"Host: localhost\r\n"
    return [
        line + host + b"Authorization: " + secret + b"\x01\r\n\r\n",
        line + host + b"Authorization " + secret + b"\r\n\r\n",
        line + host + b"Authorization : " + secret + b"\r\n\r\n",
        line + host + b"Authorization: " + secret + b"x" * 20_000 + b"\r\n\r\n",
        line + host + b"".join(b"X-%d: %s\r\n" % (n, secret) for n in range(200)) + b"\r\n",
        line.replace(b"1.1", b"9.9") + host + b"Authorization: " + secret + b"\r\n\r\n",
        line.replace(b"/healthz", b"/" + b"x" * 20_000) + host + b"\r\n",
        line.replace(b"GET", b"G\x01T") + host + b"\r\n",
        b"POST "
        + WEBHOOK.encode()
        + b" HTTP/1.1\r\n"
        + host
        + b"Content-Length: "
        + secret
        + b"\r\n\r\n",
        b"POST " + WEBHOOK.encode() + b" HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n"
        b"Authorization: " + secret + b"\r\n\r\n" + secret + b"\r\n",
        secret + b"\r\n\r\n",
    ]


def raw(port: int, request: bytes) -> bytes:
    """Send bytes, and give all that comes back until the other end has enough of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while piece := connection.recv(65_536):
                got += piece
        except ConnectionResetError:
            pass
        return got


def process_lists() -> bytes:
    """The command lines of every process of this machine, as `ps` would show them."""
    return b"\n".join(
        piece for path in Path("/proc").glob("[0-9]*/cmdline") if (piece := read_quietly(path))
    )


def environment_of_process(pid: int) -> bytes:
    """What a process was started with."""
    return read_quietly(Path(f"/proc/{pid}/environ"))


def read_quietly(path: Path) -> bytes:
    """Read a file; nothing of one that is gone, or not ours to read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
