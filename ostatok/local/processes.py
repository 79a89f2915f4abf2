"""The parts that are Ostatok itself: ``ostatok migrate``, ``http`` and ``stream``."""

import asyncio
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from ostatok.local.parts import Part
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings

_HELD = (sys.executable, "-m", "ostatok.local.held")
_PROBE_SECONDS = 2.0
# With the embedded services, how to reach the services is not the caller's to set.
_SERVICES = ("OSTATOK_KAFKA_", "OSTATOK_DATABASE_")
STREAM_STOP_SECONDS = 10.0
_STILL_THE_CALLERS = frozenset(
    {
        "OSTATOK_DATABASE_SCHEMA",
        "OSTATOK_DATABASE_POOL_CONNECTIONS",
        "OSTATOK_DATABASE_TIMEOUT_SECONDS",
    }
)


def embedded_environment(database_url: str, bootstrap_servers: str) -> dict[str, str]:
    """Give the caller's environment, with the embedded services in the place of any others."""
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SERVICES) or name in _STILL_THE_CALLERS
    }
    return {
        **passed_on,
        "OSTATOK_DATABASE_URL": database_url,
        "OSTATOK_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "OSTATOK_LOG_FORMAT": "json",
    }


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as variables, and none of the caller's own."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    given = {}
    for name, value in settings:
        if value is not None:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            given[PREFIX + name.upper()] = text
    return {**inherited, **given}


@dataclass(frozen=True, slots=True)
class Given:
    """What our own processes are given: the environment, and where their logs go.

    Without a ``log_folder`` they write to our terminal.
    """

    environment: Mapping[str, str]
    log_folder: Path | None = None
    stop_seconds: float = 4


def migrate_part(given: Given) -> Part:
    """Give ``ostatok migrate``, which ends by itself."""
    log = given.log_folder and given.log_folder / "migrate.log"
    return Part(name="migrate", argv=(*_HELD, "migrate"), environment=given.environment, log=log)


def http_parts(given: Given, settings: Settings, folder: Path) -> list[Part]:
    """Give the processes of one ``ostatok http``, which share the port and ``folder``.

    ``settings`` say where they listen, what they answer and how many they are; all else they read
    from the environment they are ``given``. ``folder`` must be there and empty.
    """
    shared = {
        "OSTATOK_HTTP_HOST": settings.http_host,
        "OSTATOK_HTTP_PORT": str(settings.http_port),
        "OSTATOK_HTTP_SERVE": settings.http_serve,
        "OSTATOK_HTTP_WORKERS": str(settings.http_workers),
        "OSTATOK_HTTP_WORKERS_FOLDER": str(folder),
    }
    ready = _http_is_ready(settings)
    return [
        _part(given, "http", number, {**shared, "OSTATOK_HTTP_WORKER": str(number)}, ready)
        for number in range(settings.http_workers)
    ]


def stream_parts(given: Given, metrics_ports: Sequence[int]) -> list[Part]:
    """Give a stream worker for each of ``metrics_ports``."""
    parts = []
    # Longer than a worker takes that something holds up: it ends itself then.
    given = replace(given, stop_seconds=max(given.stop_seconds, STREAM_STOP_SECONDS))
    for number, port in enumerate(metrics_ports):
        host = "127.0.0.1"
        own = {"OSTATOK_STREAM_METRICS_HOST": host, "OSTATOK_STREAM_METRICS_PORT": str(port)}
        parts.append(_part(given, "stream", number, own, answers_200(host, port)))
    return parts


def base_url(host: str, port: int, *, tls: bool = False) -> str:
    """Where a program of this machine reaches a server that listens on ``host``."""
    return f"{'https' if tls else 'http'}://{_bracketed(_reachable(host))}:{port}"


def http_url(settings: Settings) -> str:
    """Where a program of this machine reaches ``ostatok http``."""
    return base_url(settings.http_host, settings.http_port, tls=settings.has_tls)


def _http_is_ready(settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Give a probe of ``ostatok http``, wherever that shows whether it is ready."""
    if settings.http_metrics_port is not None:
        return answers_200(settings.http_metrics_host, settings.http_metrics_port)
    path = "/readyz" if settings.serves("api") else "/healthz"
    return answers_200(settings.http_host, settings.http_port, path, tls=settings.has_tls)


def answers_200(
    host: str, port: int, path: str = "/readyz", *, tls: bool = False
) -> Callable[[], Awaitable[bool]]:
    """Give a probe: does a GET of ``path`` answer 200?"""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await _status(_reachable(host), port, path, tls=tls) == 200
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    return probe


async def _status(host: str, port: int, path: str, *, tls: bool) -> int:
    # Whether it is there is asked of a process of our own, so its name proves nothing.
    context = ssl._create_unverified_context() if tls else None  # noqa: S323, SLF001  # ours
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        name = f"{_bracketed(host)}:{port}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        first = await reader.readuntil(b"\r\n")
    finally:
        writer.close()
    words = first.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def _part(
    given: Given, name: str, number: int, own: dict[str, str], ready: Callable[[], Awaitable[bool]]
) -> Part:
    own_log = log = None
    environment = {**given.environment, **own, "PYTHONUNBUFFERED": "1"}
    if given.log_folder is None and (callers := environment.get("OSTATOK_LOG_FILE")):
        # Two that rotate one file would do it under each other's feet.
        path = Path(callers)
        environment["OSTATOK_LOG_FILE"] = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
    elif given.log_folder is not None:
        # It rotates its own log; what a crash prints goes to the other.
        own_log, log = (given.log_folder / f"{name}-{number}.{end}" for end in ("log", "out"))
        environment["OSTATOK_LOG_FILE"] = str(own_log)
    return Part(
        name=name,
        number=number,
        argv=(*_HELD, name),
        environment=environment,
        log=log,
        own_log=own_log,
        ready=ready,
        stop_seconds=given.stop_seconds,
    )


def _reachable(host: str) -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # is listened on
    return here.get(host, host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
