"""The two requests that pass aiohttp's router by are answered as the usual way answers them."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from decimal import Decimal

import pytest
from aiohttp import ClientSession, web
from support.webhooks import GOOD, INN, EmptyLedger, RecordingJournal, Serve, connect

from ostatok_db.reading import Standing
from ostatok_http.fast_path import FastPath, Handler

BALANCE = f"/api/organizations/{INN}/balance/"
LENGTH = b"Content-Length: %d\r\nContent-Type: application/json\r\n" % len(GOOD)
FAST = b"POST /api/webhook/bank/ HTTP/1.1\r\nHost: test\r\n" + LENGTH
# The same handler, by an address that only the router knows.
USUAL = b"POST /api/webhook/bank HTTP/1.1\r\nHost: test\r\n" + LENGTH


async def exchange(client: ClientSession, *requests: bytes) -> list[tuple[str, bytes]]:
    """Send requests one after the other on one connection; give (head, body) of each answer."""
    reader, writer = await connect(client)
    answers = []
    for request in requests:
        writer.write(request)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        length = re.search(r"Content-Length: (\d+)", head)
        assert length is not None
        has_body = not request.startswith(b"HEAD")
        answers.append((head, await reader.readexactly(int(length[1])) if has_body else b""))
    writer.close()
    await writer.wait_closed()
    return answers


def comparable(head: str) -> set[str]:
    """The lines of a head, less what differs from answer to answer."""
    varying = ("X-Request-ID", "Date", "Ostatok-Position")
    return {re.sub(rf"^({'|'.join(varying)}): .*", r"\1", line) for line in head.split("\r\n")}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what went aiohttp's usual way."""
    seen: list[str] = []
    whole = FastPath.instead_of

    def noting(self: FastPath, usual: Handler) -> Handler:
        def note(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            seen.append(request.raw_path)
            return usual(request)

        return whole(self, note)

    monkeypatch.setattr(FastPath, "instead_of", noting)
    return seen


async def test_both_ways_answer_the_same(passed: list[str], serve: Serve) -> None:
    """Status, headers and body are those that aiohttp's own router and this service give."""
    client = await serve()
    fast, usual = await exchange(client, FAST + b"\r\n" + GOOD, USUAL + b"\r\n" + GOOD)
    assert passed == ["/api/webhook/bank"]
    assert comparable(fast[0]) == comparable(usual[0])
    assert fast[1] == usual[1] == b'{"message": "Payment processed successfully"}'
    assert re.search(r"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", fast[0])


@pytest.mark.parametrize(
    ("version", "asked", "said"),
    [
        (b"1.1", b"", ""),
        (b"1.1", b"Connection: close\r\n", "Connection: close"),
        (b"1.0", b"", ""),
        (b"1.0", b"Connection: keep-alive\r\n", "Connection: keep-alive"),
    ],
)
async def test_a_connection_ends_when_the_client_wants_it(
    serve: Serve, version: bytes, asked: bytes, said: str
) -> None:
    """As RFC 9112, section 9.3, has it for each version of HTTP."""
    reader, writer = await connect(await serve())
    writer.write(FAST.replace(b"1.1", version) + asked + b"\r\n" + GOOD)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    assert head.startswith(f"HTTP/{version.decode()} 200 OK\r\n")
    assert "".join(re.findall(r"Connection: .*(?=\r)", head)) == said
    await reader.readexactly(45)
    if "close" in said or (version == b"1.0" and not asked):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    else:
        writer.write(FAST + b"\r\n" + GOOD)
        assert (await asyncio.wait_for(reader.readline(), 5)).endswith(b"200 OK\r\n")
    writer.close()


async def test_what_wants_more_goes_the_usual_way(passed: list[str], serve: Serve) -> None:
    """An Expect, another method or spelling: the router knows what is right."""

    class Rich(EmptyLedger):
        async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
            return [Standing(inn, Decimal(5), 1) for inn, _ in asked]

    client = await serve(ledger=Rich())
    expecting = FAST + b"Expect: 100-continue\r\n\r\n"
    reader, writer = await connect(client)
    writer.write(expecting)
    assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 100 Continue\r\n"
    writer.write(GOOD)
    await reader.readline()
    assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 200 OK\r\n"
    writer.close()
    get = f"GET {BALANCE[:-1]} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    head = f"HEAD {BALANCE} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    fast = f"GET {BALANCE} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    answers = await exchange(client, get, head, fast)
    assert passed == ["/api/webhook/bank/", BALANCE[:-1], BALANCE]
    assert comparable(answers[0][0]) == comparable(answers[1][0]) == comparable(answers[2][0])
    assert answers[0][1] == answers[2][1] == b'{"inn": "1234567890", "balance": 5.00}'


async def test_a_client_that_is_gone_harms_nobody(serve: Serve, journal: RecordingJournal) -> None:
    """Its answer has nowhere to go; the next client gets its own."""
    client = await serve(journal=journal)
    journal.may_answer.clear()
    _, writer = await connect(client)
    writer.write(FAST + b"\r\n" + GOOD)
    await asyncio.wait_for(journal.published.wait(), 5)
    writer.transport.abort()
    journal.may_answer.set()
    await asyncio.wait_for(journal.answered.wait(), 5)
    ((head, _),) = await exchange(client, FAST + b"\r\n" + GOOD)
    assert head.startswith("HTTP/1.1 200 OK")
