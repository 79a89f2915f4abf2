"""Log injection: an event is a line, whatever clients write, and a line is an event."""

import asyncio
import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from support.lone import Start, port, start, wait_alive
from support.raw import Target, post
from support.webhooks import changed, raw

from ostatok import logs
from ostatok.settings import load

__all__ = ["port", "start"]

FORGED = '{"at":"2026-01-01T00:00:00+00:00","level":"error","event":"forged"}'
NASTY = (
    "a\r\n",
    "\n" + FORGED + "\n",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\x9b31m",
    "\u2028\u2029\x85\x0b\x0c",
    "\x00\x08\x08\x08\x7f",
    "\u202egnp\u2066\u200f",
    "x" * 100_000,
    "\udcff",
)
OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SILENT_SECONDS = 2.0


def unseen(text: str) -> set[str]:
    """What of a text moves a cursor, ends a line or turns the direction of writing."""
    return {one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp", "Cs"}}


def _fail(text: str, _secret: str = "") -> NoReturn:
    """Fail, knowing something."""
    raise ValueError(text)


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level, sink = root.handlers[:], root.level, logs._sink
    yield
    if logs._sink is not None and logs._sink is not sink:
        logs._sink.handler.close()
    root.handlers[:], root.level, logs._sink = handlers, level, sink
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_restored")
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_value_is_part_of_its_line(tmp_path: Path, form: str, text: str) -> None:
    """In both forms, alone or among others, said by us or by a library, raised or not."""
    path = tmp_path / "log"
    logs.configure(load(log_format=form, log_file=path))
    log = structlog.get_logger()
    log.warning("one", text=text, texts=[text], deep={"a": text})
    logs.write_many("many", [{"text": text}, {"text": text}])
    logging.getLogger("aiohttp").error("said %s", text)
    try:
        _fail(text)
    except ValueError as error:
        log.exception("raised", exc_info=error)
    written = path.read_text(encoding="utf-8")
    lines = OUR_COLOURS.sub("", written).rstrip("\n").split("\n")
    if form == "json":
        names = [json.loads(line)["event"] for line in lines]
    else:
        names = [line.split("] ")[1].split()[0] for line in lines if not line.startswith("    ")]
    assert names == ["one", "many", "many", "library_message", "raised"]
    assert unseen("".join(lines)) == set()


@pytest.mark.usefixtures("_logging_restored")
def test_a_traceback_for_people_has_no_values(tmp_path: Path) -> None:
    """Local variables are bodies, addresses with passwords, tokens."""
    path = tmp_path / "log"
    logs.configure(load(log_format="console", log_file=path))
    try:
        _fail("wrong", "hunter" + "2")
    except ValueError as error:
        structlog.get_logger().exception("raised", exc_info=error)
    assert "hunter2" not in path.read_text(encoding="utf-8")


def hostile_requests() -> Iterator[bytes]:
    """Everything that a client can write into a request."""
    texts = [one.encode(errors="surrogateescape") for one in NASTY if len(one) < 1_000]
    for text in texts:
        flat = text.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        for name in (b"X-Request-ID", b"User-Agent", b"Accept", b"traceparent", b"X-Forwarded-For"):
            yield post(name + b": " + text)
            yield post(name + b": " + flat)
            yield post(name + b": " + flat * 200)
        yield post(flat + b": x")
        yield post(text + b": x")
        quoted = b"".join(b"%%%02x" % one for one in text)
        for path in (b"/", b"/api/organizations/%b/balance/", b"/api/operations/%b/"):
            for one in (quoted, flat):
                address = path % one if b"%b" in path else path + one
                yield b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % address
        yield flat + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        yield post(b"Host: " + flat)
    for shown in NASTY[:6]:
        for field in ("operation_id", "payer_inn", "document_number", "document_date", shown):
            yield post(body=changed(**{field: shown}))
        yield post(body=raw("amount", json.dumps(shown)))


async def test_nothing_a_client_writes_is_a_line_of_the_log(start: Start, port: int) -> None:
    """Every line of the process is one of its own events, and has no sign that nobody sees."""
    process = start(http_trusted_proxies="127.0.0.1", http_open_to_all=True, log_format="json")
    wait_alive(port, process)
    target = Target("service", port)
    async with asyncio.TaskGroup() as group:
        for one in hostile_requests():
            group.create_task(target.send(one, seconds=SILENT_SECONDS))
    process.terminate()
    _, logged = process.communicate(timeout=20)
    events = [json.loads(line) for line in logged.decode().splitlines()]
    assert "forged" not in {event["event"] for event in events}
    assert {event["event"] for event in events} >= {"webhook_refused", "http_stopped"}
    assert [event for event in events if event["event"] == "request_failed"] == []
    assert unseen(logged.decode().replace("\n", "")) == set()
