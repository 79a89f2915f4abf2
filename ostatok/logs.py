"""Structured logs: events with fields, JSON when nobody watches, the same names in every process.

One operation can be followed by ``operation_id`` and ``request_id`` from the request through the
journal to the ledger. Bodies never appear; whoever logs an INN passes it through ``masked``.
"""

import logging
import logging.handlers
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from ostatok.settings import Settings

PIECE_BYTES_MAX = 16 * 1024 * 1024
PIECES = 5
LIBRARY_LEVEL = logging.WARNING
"""What the libraries have to say below this is their own affair."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


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


def _renderer() -> structlog.dev.ConsoleRenderer:
    """For a terminal. The one structlog makes by itself shows the values in a traceback, too."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def configure(settings: Settings) -> None:
    """Send this process's events, and those of the libraries, where the settings say."""
    global _sink  # noqa: PLW0603  # logging is the process's, not any object's
    _sink = sink = _Sink(settings)
    processors: list[Any] = (
        [structlog.processors.format_exc_info, _as_json]
        if sink.as_json
        else [structlog.processors.add_log_level, _stamp, _renderer(), _line]
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
    lines = [
        _encode({"at": at, "level": "info", "event": event, **one}).decode() + "\n"
        for one in fields
    ]
    if lines:
        _sink.write("".join(lines))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _as_json(_logger: object, level: str, event: dict[str, Any]) -> str:
    return _encode({"at": _now(), "level": level, **event}).decode() + "\n"


def _stamp(_logger: object, _level: str, event: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": _now(), **event}


def _line(_logger: object, _level: str, text: str) -> str:
    return text + "\n"
