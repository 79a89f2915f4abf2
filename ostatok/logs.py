"""Structured logs: events with fields, JSON when nobody watches, the same names in every process.

One operation can be followed by ``operation_id`` and ``request_id`` from the request through the
journal to the ledger. Bodies never appear; whoever logs an INN passes it through ``masked``. What
clients wrote can neither begin a line nor move a terminal's cursor.
"""

import json
import logging
import logging.handlers
import re
import sys
import textwrap
import traceback
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog

from ostatok.settings import Settings

PIECE_BYTES_MAX = 16 * 1024 * 1024
PIECES = 5
LIBRARY_LEVEL = logging.WARNING
"""What the libraries have to say below this is their own affair."""

_encode = msgspec.json.Encoder(enc_hook=str).encode

# What JSON leaves as it is, and terminals, editors or Python's splitlines() take for more than
# text: control characters of eight bits, ends of lines, and what turns the direction of writing.
_OTHER_CONTROL = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_find_unseen = re.compile(f"[{_OTHER_CONTROL}]")
_find_control = re.compile(f"[\x00-\x1f{_OTHER_CONTROL}]")
_find_control_but_lines = re.compile(f"[\x00-\x09\x0b-\x1f{_OTHER_CONTROL}]")


class _Sink:
    """Where lines go: standard error, or a file kept in bounded pieces."""

    def __init__(self, settings: Settings) -> None:
        self.is_file = settings.log_file is not None
        if settings.log_file is None:
            self.handler: Any = logging.StreamHandler(sys.stderr)
        else:
            self.handler = logging.handlers.RotatingFileHandler(
                settings.log_file,
                maxBytes=PIECE_BYTES_MAX,
                backupCount=PIECES - 1,
                encoding="utf-8",
            )
        self.wants_info = settings.log_level in {"debug", "info"}
        self.as_json = settings.log_format == "json" or (
            settings.log_format == "auto" and not self.handler.stream.isatty()
        )

    def write(self, text: str) -> None:
        """Write a line, or lose it: a full disk or a closed terminal is no reason to stop."""
        handler = self.handler
        with handler.lock, suppress(OSError, ValueError):
            if handler.stream is None:  # logging.config closes every handler there is.
                handler.stream = handler._open()  # noqa: SLF001
            if self.is_file and handler.stream.tell() + len(text) > PIECE_BYTES_MAX:
                handler.doRollover()
            handler.stream.write(text)
            handler.flush()

    debug = info = warning = error = critical = exception = write


class LibraryHandler(logging.Handler):
    """Turns what libraries say through ``logging`` into events like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as the event ``library_message``."""
        log = structlog.get_logger()
        error = record.exc_info[1] if record.exc_info else None
        log.log(
            record.levelno,
            "library_message",
            logger=record.name,
            message=record.getMessage(),
            exc_info=error,
        )


_sink: _Sink | None = None


def configure(settings: Settings) -> None:
    """Send this process's events, and those of the libraries, where the settings say."""
    global _sink  # noqa: PLW0603  # logging is the process's, not any object's
    _sink = sink = _Sink(settings)
    processors: list[Any] = (
        [structlog.processors.format_exc_info, _as_json]
        if sink.as_json
        else [structlog.processors.add_log_level, _stamp, _only_seen, _for_people(), _line]
    )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [LibraryHandler()]
    root.setLevel(LIBRARY_LEVEL)


def write_many(event: str, fields: Iterable[dict[str, Any]]) -> None:
    """Log one event for each of ``fields``, in one write: a batch has thousands."""
    if _sink is None or not _sink.wants_info:
        return
    if not _sink.as_json:
        log = structlog.get_logger()
        for one in fields:
            log.info(event, **one)
        return
    at = _now()
    lines = [_json_line({"at": at, "level": "info", "event": event, **one}) for one in fields]
    if lines:
        _sink.write("".join(lines))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _as_json(_logger: object, level: str, event: dict[str, Any]) -> str:
    return _json_line({"at": _now(), "level": level, **event})


def _json_line(event: dict[str, Any]) -> str:
    try:
        text = _encode(event).decode()
    except UnicodeEncodeError:  # Half of a surrogate pair: a header's byte that is no UTF-8.
        text = json.dumps(event, default=str)
    if not text.isascii() or "\x7f" in text:
        text = _find_unseen.sub(_escaped, text)
    return text + "\n"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _only_seen(_logger: object, _level: str, event: dict[str, Any]) -> dict[str, Any]:
    """Write what can't be seen as JSON would; of lists and the like Python shows it so itself."""
    return {
        name: _find_control.sub(_escaped, value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _for_people() -> structlog.dev.ConsoleRenderer:
    """Lines in colours. It writes values as Python would, and no values of local variables."""
    return structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)


def _write_traceback(out: TextIO, exc_info: Any) -> None:
    """Set it off, so that no line of it, whoever wrote it, looks like an event."""
    text = _find_control_but_lines.sub(_escaped, "".join(traceback.format_exception(*exc_info)))
    out.write("\n" + textwrap.indent(text.rstrip("\n"), "    ", lambda _line: True))


def _stamp(_logger: object, _level: str, event: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": _now(), **event}


def _line(_logger: object, _level: str, text: str) -> str:
    return text + "\n"
