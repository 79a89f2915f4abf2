"""Too much of everything: headers, addresses, bodies, requests at once, things to unpack."""

import asyncio
import gzip
import json
import resource
import ssl
import time
import zlib
from typing import NoReturn

import pytest
from aiohttp import ClientSession
from support.raw import Target, chunked, post, statuses
from support.webhooks import GOOD, INN, JSON, WEBHOOK, RecordingJournal, Serve, changed, raw

from ostatok.payment import BODY_BYTES_MAX, DEPTH_MAX

SILENT_SECONDS = 3.0
QUICK_SECONDS_MAX = 1.0
GROWTH_KIB_MAX = 32 * 1024
PIPELINED = 1_000
ENDLESS_SECONDS_MAX = 20
BALANCE = f"/api/organizations/{INN}/balance/".encode()


def get(path: bytes, *lines: bytes) -> bytes:
    """Give a request that wants no connection after it."""
    head = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % path
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


FLOODS: dict[str, tuple[bytes, set[int], set[int]]] = {
    # What is sent, and what the service and the proxy answer.
    "100 headers": (post(*[b"X-%d: y" % one for one in range(100)]), {400}, {400}),
    "100 headers of one name": (post(*[b"X: y"] * 100), {400}, {400}),
    "100 cookies": (post(*[b"Cookie: a=b"] * 100), {400}, {400}),
    "10,000 headers": (post(*[b"X: y"] * 10_000), {400}, {431}),
    "a header of 9 KB": (post(b"X: " + b"y" * 9_000), {400}, {400}),
    "a header of 1 MB": (post(b"X: " + b"y" * 1_000_000), {400}, {431}),
    "a header's name of 9 KB": (post(b"x" * 9_000 + b": y"), {400}, {400}),
    "an address of 9 KB": (get(b"/" + b"a" * 9_000), {400}, {404}),
    "an address of 1 MB": (get(b"/" + b"a" * 1_000_000), {400}, {431}),
    "a method of 1 MB": (b"G" * 1_000_000 + b" / HTTP/1.1\r\n\r\n", {400}, {400, 431}),
    "a line that does not end": (b"\xff" * 1_000_000, {400}, {400, 431}),
    "1,000 parameters": (
        get(BALANCE + b"?" + b"&".join(b"a%d=1" % one for one in range(1_000))),
        {400},
        {404},
    ),
    "a body of 64 KiB and one": (post(body=b" " * (BODY_BYTES_MAX + 1)), {413}, {413}),
    "a body of 1 GB, said": (post(b"Content-Length: 1000000000", body=b""), {413}, {413}),
    "64 KiB and one in chunks": (
        post(b"Transfer-Encoding: chunked", body=chunked(b" " * (BODY_BYTES_MAX + 1))),
        {413},
        {413},
    ),
    "64 KiB and one in chunks of a byte": (
        post(b"Transfer-Encoding: chunked", body=chunked(b" " * (BODY_BYTES_MAX + 1), 1)),
        {413},
        {413},
    ),
    "trailers": (
        post(
            b"Transfer-Encoding: chunked",
            body=chunked(GOOD)[:-2] + b"X: y\r\n" * 1_000 + b"\r\n",
        ),
        {400},
        {400, 502},
    ),
}


async def test_floods_are_refused_at_once(target: Target, journal: RecordingJournal) -> None:
    """By what they are, and nothing of them is in the journal."""
    for name, (sent, service, proxy) in FLOODS.items():
        begun = time.monotonic()
        answered = statuses(await target.send(sent, seconds=SILENT_SECONDS))
        # A flood whose rest is in the way of the answer ends without one.
        allowed = service if target.name == "service" else proxy
        assert set(answered[:1]) <= allowed, name
        assert 200 not in answered, name
        assert time.monotonic() - begun < SILENT_SECONDS + QUICK_SECONDS_MAX, name
    assert journal.records == []


async def _go_on(writer: asyncio.StreamWriter, piece: bytes) -> NoReturn:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)  # drain() alone may not let anybody else have a turn.


@pytest.mark.parametrize("piece", [b"10000\r\n" + b" " * 65_536 + b"\r\n", b"1;" + b"a" * 65_536])
async def test_chunks_without_end_are_not_listened_to(
    target: Target, journal: RecordingJournal, piece: bytes
) -> None:
    """Neither those that are long nor one whose extension is."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with target.connected() as (_, writer), asyncio.timeout(ENDLESS_SECONDS_MAX):
        writer.write(post(b"Transfer-Encoding: chunked", body=b""))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await _go_on(writer, piece)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB_MAX
    assert journal.records == []


async def test_many_requests_at_once_are_answered_in_their_order(
    target: Target, journal: RecordingJournal
) -> None:
    """A thousand in one write, each with its own answer, and no more than a few in hand."""
    requests = b"".join(post(b"X-Request-ID: r%d" % one) for one in range(PIPELINED))
    journal.may_answer.clear()
    async with target.connected() as (reader, writer):
        writer.write(requests)
        await asyncio.wait_for(journal.published.wait(), 5)
        # One request of a connection is in hand; the others wait their turn.
        assert len(journal.records) == 1
        journal.may_answer.set()
        received = b""
        async with asyncio.timeout(30):
            while received.count(b"successfully") < PIPELINED:
                received += await reader.read(65_536)
    found = [line for line in received.lower().split(b"\r\n") if line.startswith(b"x-request-id")]
    assert found == [b"x-request-id: r%d" % one for one in range(PIPELINED)]


PACKED = {
    "gzip": gzip.compress(b" " * 10_000_000),
    "x-gzip": gzip.compress(b" " * 10_000_000),
    "deflate": zlib.compress(b" " * 10_000_000),
    "br": b"\x1b\xff\xff\xff",
    "zstd": b"\x28\xb5\x2f\xfd\xa4\x80\x96\x98\x00",
    "gzip, gzip": gzip.compress(gzip.compress(b" " * 10_000_000)),
    "nothing known": b"",
}


@pytest.mark.parametrize("coding", PACKED)
async def test_nothing_is_unpacked(target: Target, journal: RecordingJournal, coding: str) -> None:
    """A bomb is a few kilobytes that nobody opens: 415, and what would have been taken."""
    sent = post(b"Content-Encoding: " + coding.encode(), body=PACKED[coding])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    received = await target.send(sent, get(b"/"), seconds=SILENT_SECONDS)
    assert statuses(received)[0] == 415
    assert b"Accept-Encoding: identity\r\n" in received
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
    assert journal.records == []


def _with(text: bytes) -> bytes:
    """A good webhook with one field more."""
    return GOOD[:-1] + b', "x": ' + text + b"}"


COSTLY = {
    "nested as deep as fits": _with(b"[" * 32_000 + b"]" * 32_000),
    "objects nested as deep as fit": _with(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "one deeper than may be": _with(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX),
    "brackets that never close": _with(b"[" * 64_000),
    "a number of 60,000 digits": raw("amount", "9" * 60_000),
    "a number of 60,000 decimals": raw("amount", "0." + "9" * 60_000),
    "an exponent": raw("amount", "1e999999999"),
    "an exponent in a string": raw("amount", '"1e999999999"'),
    "a string that never ends": GOOD[:-1] + b', "x": "' + b"a" * 60_000,
    "half of an escape": GOOD[:-1] + b', "x": "' + b"\\" * 60_001,
    "a document number of 60,000": changed(document_number="x" * 60_000),
    "a key of 60,000, twice": GOOD[:-1] + (b', "%b": 1' % (b"k" * 30_000)) * 2 + b"}",
    "60,000 spaces": b" " * 60_000,
    "60,000 quotes": b'"' * 60_000,
}


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY)
async def test_costly_bodies_cost_little(
    service: Target, journal: RecordingJournal, body: bytes
) -> None:
    """Whatever 64 KiB of JSON can be made to be is read, or refused, in no time."""
    begun = time.monotonic()
    assert statuses(await service.send(post(b"Connection: close", body=body))) == [400]
    assert time.monotonic() - begun < QUICK_SECONDS_MAX
    assert journal.records == []


WIDE = {
    "a wide object": b"{" + b",".join(b'"%x":0' % one for one in range(6_000)) + b"}",
    "a wide list": b"[" + b"0," * 30_000 + b"0]",
    "a number of 60,000 digits": b"9" * 60_000,
    "an exponent": b"1e999999999",
    "as deep as may be": b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1),
}


@pytest.mark.parametrize("text", WIDE.values(), ids=WIDE)
async def test_what_is_not_looked_at_costs_little_either(
    service: Target, journal: RecordingJournal, text: bytes
) -> None:
    """Fields that nobody knows are the sender's own affair, and stand in the journal."""
    begun = time.monotonic()
    sent = post(b"Connection: close", body=_with(text))
    assert statuses(await service.send(sent)) == [200]
    assert time.monotonic() - begun < QUICK_SECONDS_MAX
    assert len(journal.records) == 1


async def test_who_says_that_he_will_send_and_does_not_is_not_waited_for(
    service: Target, journal: RecordingJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100-continue a hundred times at once; another expectation is refused."""
    monkeypatch.setattr("ostatok_http.bodies.BODY_SECONDS_MAX", 1.0)
    expecting = post(b"Expect: 100-continue", b"Content-Length: 100", body=b"")
    async with asyncio.TaskGroup() as group:
        many = [group.create_task(service.send(expecting)) for _ in range(100)]
    assert {tuple(statuses(one.result())) for one in many} == {(100, 408)}
    assert statuses(await service.send(post(b"Expect: 200-ok"), seconds=1)) == [417]
    assert journal.records == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/form-data; boundary=x", 415),
        ("multipart/form-data; boundary=" + "x" * 8_000, 415),
        ("application/x-www-form-urlencoded", 413),
        ("text/plain", 415),
    ],
)
async def test_forms_of_other_kinds_are_not_read(serve: Serve, kind: str, status: int) -> None:
    """The console takes what its own pages send, and no more of it than they could."""
    client = await serve(http_serve="webhook,api,console", http_operators=True)
    given = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin"}
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 1_000_000
    async with client.post("/console/dead-letters/", data=body, headers=given) as answer:
        assert answer.status == status


async def test_a_thousand_cookies_are_no_error(serve: Serve) -> None:
    """The console looks for two or three of its own among them."""
    client = await serve(http_serve="webhook,api,console")
    cookies = "; ".join(f"c{one}=1" for one in range(1_000))
    begun = time.monotonic()
    async with client.get("/console/none", headers={"Cookie": cookies}) as answer:
        assert answer.status == 404
    assert time.monotonic() - begun < QUICK_SECONDS_MAX


async def test_a_good_webhook_is_still_taken(client_of: ClientSession) -> None:
    """Right after all the refusals on the same connection."""
    for _ in range(50):
        async with client_of.post(WEBHOOK, data=b"{", headers=JSON) as answer:
            assert answer.status == 400
    async with client_of.post(WEBHOOK, data=GOOD, headers=JSON) as answer:
        assert json.loads(await answer.read()) == {"message": "Payment processed successfully"}


@pytest.fixture
async def client_of(serve: Serve) -> ClientSession:
    """Give a client of a service."""
    return await serve()
