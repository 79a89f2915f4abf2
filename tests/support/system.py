"""Our own processes as the operator starts them, on services that run already."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg

from ostatok.local.processes import environment_of
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.02


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS_MAX
) -> None:
    """Wait for a condition, or fail naming it."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def request(  # as many as HTTP has
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    seconds: float = 10.0,
) -> Answer:
    """Ask, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class System:
    """http and stream processes that share settings."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.environment = environment_of(settings)
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Migrate."""
        self.run("migrate")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End what still runs."""
        running = [one for one in self._processes if one.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{process.args!r} did not stop by itself") from error

    def run(self, *command: str) -> str:
        """Run a command to its end and give what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "ostatok", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=READY_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *command: str, log: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start a command, its events going to ``log`` in the folder."""
        return self.start_program(sys.executable, "-m", "ostatok", *command, log=log, **changes)

    def start_program(self, *argv: str, log: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start a program with the system's settings."""
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                argv,
                env={**self.environment, **changes},
                stdout=out,
                stderr=out,
            )
        self._processes.append(process)
        return process

    def start_http(self, workers: int = 1) -> subprocess.Popen[bytes]:
        """Start the service and wait until it is ready."""
        process = self.start("http", "--workers", str(workers), log="http.log")
        self.wait_ready(self.settings.http_port, process)
        return process

    def start_stream(self, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it stands where it must."""
        listens = port or self.settings.stream_metrics_port
        changes = {f"{PREFIX}STREAM_METRICS_PORT": str(listens)}
        process = self.start("stream", log="stream.log", **changes)
        self.wait_ready(listens, process)
        return process

    def wait_ready(self, port: int, process: subprocess.Popen[bytes]) -> None:
        """Wait for /readyz."""

        def is_ready() -> bool:
            assert process.poll() is None, f"ended by itself with {process.returncode}"
            try:
                return request(port, "GET", "/readyz").status == 200
            except OSError:
                return False

        wait_until(is_ready, f"/readyz on port {port}")

    def post(self, body: bytes, **headers: str) -> Answer:
        """Post a webhook."""
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        return request(self.settings.http_port, "POST", "/api/webhook/bank/", body, given)

    def balance(self, inn: str, **headers: str) -> Answer:
        """Ask for a balance."""
        path = f"/api/organizations/{inn}/balance/"
        return request(self.settings.http_port, "GET", path, headers=headers)

    def session(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect to the ledger; each statement is a transaction."""
        return psycopg.connect(conninfo(self.settings, name="test"), autocommit=True)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the ledger."""
        with self.session() as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def events(self, log: str, name: str) -> list[dict[str, Any]]:
        """The events of one name in a log."""
        lines = (self.folder / log).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if event.get("event") == name]


def kill(process: subprocess.Popen[bytes]) -> None:
    """``kill -9``."""
    process.send_signal(signal.SIGKILL)
    process.wait()
