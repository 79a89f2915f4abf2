"""The webhook's endpoint, from the bytes of the request to the record in the journal."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession
from support.webhooks import (
    GOOD,
    INN,
    JSON,
    KIND,
    PROBLEM,
    WEBHOOK,
    RecordingJournal,
    Serve,
    changed,
    connect,
    head,
    raw,
)

from ostatok.errors import JournalFull, JournalUnavailable
from ostatok_http import bodies


async def test_a_payment_is_accepted(client: ClientSession, journal: RecordingJournal) -> None:
    """The 200 of the contract comes to the letter, with the receipt, and the record is whole."""
    before = datetime.now(UTC)
    async with client.post(
        WEBHOOK, data=GOOD, headers=JSON | {"X-Request-ID": "order-66"}
    ) as answer:
        assert answer.status == 200
        assert await answer.read() == b'{"message": "Payment processed successfully"}'
        assert answer.content_type == "application/json"
        assert answer.headers["Ostatok-Position"] == "7:42"
        assert answer.headers["X-Request-ID"] == "order-66"
    [(key, value, headers)] = journal.records
    assert (key, value) == (INN.encode(), GOOD)
    received_at = datetime.fromisoformat(headers.pop("received-at").decode())
    assert before <= received_at <= datetime.now(UTC)
    assert headers == {"ostatok-format": b"1", "source": b"bank", "request-id": b"order-66"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(raw("amount", "0.01"), id="the least amount"),
        pytest.param(raw("amount", "9999999999999.99"), id="the greatest amount"),
        pytest.param(raw("amount", '"145000.5"'), id="amount as a string"),
        pytest.param(changed(payer_inn="1" * 12), id="a person's INN"),
        pytest.param(changed(document_number="х" * 50), id="50 letters of two bytes"),
        pytest.param(changed(document_date="2024-04-28T00:00:00+03:00"), id="another zone"),
        pytest.param(changed(document_date="2024-04-27"), id="a date alone"),
        pytest.param(changed(operation_id="CCF0A86D-041B-4991-BCF7-E2352F7B8A4A"), id="capitals"),
        pytest.param(GOOD[:-1] + b', "purpose": {"code": [1]}}', id="an unknown field"),
        pytest.param(b"\n " + GOOD + b" \n", id="white space around"),
        pytest.param(GOOD + b" " * (65_536 - len(GOOD)), id="64 KiB exactly"),
    ],
)
async def test_the_edges_of_the_grammar_are_inside(
    client: ClientSession, journal: RecordingJournal, body: bytes
) -> None:
    """What the grammar allows is accepted, and lies in the journal as it came, byte for byte."""
    async with client.post(WEBHOOK, data=body, headers=JSON) as answer:
        assert answer.status == 200, await answer.text()
    assert [value for _, value, _ in journal.records] == [body]


async def test_the_last_slash_may_be_left_out(
    client: ClientSession, journal: RecordingJournal
) -> None:
    """A sender that leaves out the last slash means the same webhook."""
    async with client.post(WEBHOOK.rstrip("/"), data=GOOD, headers=JSON) as answer:
        assert answer.status == 200
    assert len(journal.records) == 1


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """Give a body whose length nobody knows beforehand."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
async def test_a_byte_too_many_is_too_large(
    client: ClientSession, journal: RecordingJournal, *, chunked: bool
) -> None:
    """A body of 64 KiB and a byte is a 413, whether or not it says its length beforehand."""
    body = GOOD + b" " * (65_537 - len(GOOD))
    data = pieces(body) if chunked else body
    async with client.post(WEBHOOK, data=data, headers=JSON) as answer:
        assert (answer.status, await answer.read()) == (413, b'{"error": "Payload too large"}')
    assert journal.records == []


async def test_an_endless_body_is_cut_off(client: ClientSession) -> None:
    """A body that is announced as huge is refused before it is read."""
    reader, writer = await connect(client)
    writer.write(head(b"Content-Length: 1000000000000", KIND))
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/vnd.api+json",
        "application/jsonlines",
        "application/json; charset=windows-1251",
        "application/json; charset=utf-16",
        "json",
    ],
)
async def test_another_kind_of_body_is_refused(
    client: ClientSession, journal: RecordingJournal, content_type: str
) -> None:
    """Only JSON in UTF-8 is taken, whatever the bytes look like: the rest is a 415."""
    async with client.post(WEBHOOK, data=GOOD, headers={"Content-Type": content_type}) as answer:
        assert answer.status == 415
        assert await answer.read() == b'{"error": "Unsupported media type"}'
    assert journal.records == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json ; Charset=UTF8",
        None,
    ],
)
async def test_json_is_json_however_it_is_written(
    client: ClientSession, journal: RecordingJournal, content_type: str | None
) -> None:
    """Case, the charset UTF-8 and a missing Content-Type change nothing."""
    reader, writer = await connect(client)
    headers = [b"Content-Type: " + content_type.encode()] if content_type else []
    writer.write(head(b"Content-Length: %d" % len(GOOD), *headers) + GOOD)
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()
    assert len(journal.records) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_refused(
    client: ClientSession, journal: RecordingJournal, encoding: str
) -> None:
    """It is a 415 before anybody inflates it, and the answer says what would be taken."""
    bomb = gzip.compress(b" " * 1_000_000)
    headers = JSON | {"Content-Encoding": encoding}
    async with client.post(WEBHOOK, data=bomb, headers=headers) as answer:
        assert answer.status == 415
        assert answer.headers["Accept-Encoding"] == "identity"
    assert journal.records == []


async def test_wrong_check_digits_are_refused_on_request(
    serve: Serve, journal: RecordingJournal
) -> None:
    """With the setting, an INN is a 400 exactly when its check digits are wrong."""
    client = await serve(journal=journal, inn_check_digits=True)
    async with client.post(WEBHOOK, data=GOOD, headers=JSON | PROBLEM) as answer:
        errors = (await answer.json(content_type=None))["errors"]
        assert (answer.status, [error["field"] for error in errors]) == (400, ["payer_inn"])
    async with client.post(WEBHOOK, data=changed(payer_inn="7707083893"), headers=JSON) as answer:
        assert answer.status == 200
    assert [key for key, _, _ in journal.records] == [b"7707083893"]


@pytest.mark.parametrize("error", [JournalUnavailable(), JournalFull()], ids=["away", "full"])
async def test_a_journal_that_does_not_answer_is_a_503(serve: Serve, error: Exception) -> None:
    """The sender is told to repeat, and when: never a 200 without an acknowledgement."""
    client = await serve(journal=RecordingJournal(error))
    async with client.post(WEBHOOK, data=GOOD, headers=JSON) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert await answer.read() == b'{"error": "Service unavailable"}'
        assert "Ostatok-Position" not in answer.headers


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "кириллица"])
async def test_an_unfit_request_id_is_replaced(
    client: ClientSession, journal: RecordingJournal, given: str
) -> None:
    """A request id that could do harm in a log is not taken; a new one stands in its place."""
    headers = JSON | {"X-Request-ID": given}
    async with client.post(WEBHOOK, data=GOOD, headers=headers) as answer:
        made = answer.headers["X-Request-ID"]
    assert len(made) == 32
    assert made != given
    assert journal.records[0][2]["request-id"] == made.encode()


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("nonsense", False),
    ],
)
async def test_a_trace_is_passed_on_when_it_is_one(
    client: ClientSession, journal: RecordingJournal, given: str, *, passed_on: bool
) -> None:
    """Only a traceparent in the form of W3C's recommendation gets into the journal."""
    headers = JSON | {"traceparent": given}
    async with client.post(WEBHOOK, data=GOOD, headers=headers) as answer:
        assert answer.status == 200
    assert journal.records[0][2].get("traceparent") == (given.encode() if passed_on else None)


async def test_a_sender_that_hangs_up_does_not_stop_its_payment(
    client: ClientSession, journal: RecordingJournal
) -> None:
    """A webhook that is on its way into the journal gets there, whoever is left to hear of it."""
    journal.may_answer.clear()
    _, writer = await connect(client)
    writer.write(head(b"Content-Length: %d" % len(GOOD), KIND) + GOOD)
    await asyncio.wait_for(journal.published.wait(), 10)
    writer.close()
    await writer.wait_closed()
    async with client.get("/healthz") as answer:
        assert answer.status == 200
    journal.may_answer.set()
    await asyncio.wait_for(journal.answered.wait(), 10)
    async with client.get("/metrics") as answer:
        assert 'webhooks_total{answer="accepted"} 1.0' in await answer.text()


async def test_half_a_body_is_no_record(
    client: ClientSession, journal: RecordingJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that hangs up in the middle of its body is refused: no record, no error of ours."""
    _, writer = await connect(client)
    writer.write(head(b"Content-Length: %d" % len(GOOD), KIND) + GOOD[:-1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        page = ""
        while 'webhooks_total{answer="invalid"} 1.0' not in page:
            async with client.get("/metrics") as answer:
                page = await answer.text()
    assert 'webhooks_total{answer="failed"} 0.0' in page
    assert journal.records == []
    assert caplog.records == []


async def test_a_broken_chunk_is_a_bad_request(client: ClientSession) -> None:
    """A body whose chunks are broken is the sender's mistake, not the service's."""
    reader, writer = await connect(client)
    writer.write(head(b"Transfer-Encoding: chunked", KIND) + b"5\r\nhello\r\nnonsense\r\n")
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()


async def test_a_slow_body_is_given_up(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that does not come to its end in time is a 408: its connection is wanted back."""
    monkeypatch.setattr(bodies, "BODY_SECONDS_MAX", 0.05)
    reader, writer = await connect(client)
    writer.write(head(b"Content-Length: 100", KIND) + b"{")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()


async def test_a_connection_serves_many_webhooks(
    client: ClientSession, journal: RecordingJournal
) -> None:
    """Keep-alive holds after good and bad bodies alike."""
    reader, writer = await connect(client)
    for body, status in ((GOOD, 200), (b"{", 400), (GOOD, 200)):
        writer.write(head(b"Content-Length: %d" % len(body), KIND) + body)
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
    writer.close()
    await writer.wait_closed()
    assert len(journal.records) == 2
