"""Processes of the HTTP service whose Kafka and Postgres nobody can reach."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from ostatok.local.ports import free_port

Start = Callable[..., subprocess.Popen[bytes]]

PROGRAM = """
import sys
from ostatok.errors import OstatokError
from ostatok.settings import load
from ostatok_http.process import run

try:
    run(load())
except OstatokError as error:
    sys.exit(f"{error} {error.hint}")
"""


@pytest.fixture
def port() -> int:
    """Give a port that is free."""
    return free_port()


@pytest.fixture
def start(port: int) -> Iterator[Start]:
    """Start processes of the service, whose Kafka and Postgres nobody can reach."""
    processes = []

    def start_one(**settings: object) -> subprocess.Popen[bytes]:
        given = {
            "http_port": port,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
            "database_timeout_seconds": 0.5,
            "publish_timeout_seconds": 0.5,
            **settings,
        }
        environment = {f"OSTATOK_{name.upper()}": str(value) for name, value in given.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=os.environ | environment, stderr=subprocess.PIPE
        )
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Ask the service; gives status and body."""
    request = urllib.request.Request(  # our own address
        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # http
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def counted_on(page: str, name: str) -> float:
    """What a page of /metrics says of a metric of the service, its labels with the name."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"ostatok_http_{name} ")]
    return float(line.split()[-1])


def wait_alive(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process answers."""
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                assert ask(port, "/healthz") == (200, b'{"status": "ok"}')
                return
        time.sleep(0.05)
    pytest.fail("The service did not start.")
