"""``ostatok up``, with stand-ins for Ostatok's own processes: services and supervision are real."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ostatok.errors import LocalError
from ostatok.local.folder import DataFolder
from ostatok.local.parts import gone, is_alive
from ostatok.local.ports import free_port
from ostatok.local.processes import embedded_environment
from ostatok.local.up import open_to_all
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import load

STAND_IN = """
import os, socket, sys
name = sys.argv[1]
if name == os.environ.get("FAILS"):
    sys.exit("OSTATOK_STREAM_GROUP: must be a name.")
if name != "migrate":
    port = os.environ["OSTATOK_HTTP_PORT" if name == "http" else "OSTATOK_STREAM_METRICS_PORT"]
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", int(port)))
        server.listen()
        while True:
            with server.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""
COMMAND = """
import asyncio, sys
from pathlib import Path
from ostatok.errors import OstatokError
from ostatok.local import processes
from ostatok.local.up import up
data, port, stand_in = sys.argv[1:]
assert processes._HELD
processes._HELD = (sys.executable, stand_in)
try:
    asyncio.run(up(Path(data), host="127.0.0.1", port=int(port), http=2, stream=1))
except OstatokError as error:
    sys.exit(f"{error}\\n{error.hint}")
"""


@pytest.mark.parametrize(
    ("host", "given", "is_on"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("192.0.2.1", {}, False),
        ("0.0.0.0", {"http_serve": ALL_PARTS}, True),
        ("127.0.0.1", {"http_serve": "webhook,api"}, False),
    ],
)
def test_the_console_is_on_for_this_machine_alone(
    host: str, given: dict[str, str], is_on: bool
) -> None:
    """Unless the caller says otherwise: it shows everything to whoever reaches the port."""
    wanted = load(**given)
    assert wanted.model_copy(update=open_to_all(wanted, host)).serves("console") is is_on


async def launch(folder: Path, port: int, **more: str) -> asyncio.subprocess.Process:
    """Start ``up`` on ``folder / "data"``."""
    stand_in = folder / "stand_in.py"
    stand_in.write_text(STAND_IN)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, str(folder / "data"), str(port), str(stand_in)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **more},
    )


async def run_file(folder: Path, *, other_than: object = None) -> dict[str, Any]:
    """Wait for run.json, or until it says something else."""
    path = folder / "data" / "run.json"
    async with asyncio.timeout(60):
        while not path.exists() or json.loads(path.read_text()) == other_than:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


async def test_up_runs_keeps_up_and_stops_everything(folder: Path) -> None:
    """It says where all is, brings back what dies, and on SIGTERM is gone within 10 s."""
    port = free_port()
    command = await launch(folder, port)
    run = await run_file(folder)
    path = folder / "data" / "run.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(run) == {
        *("http", "database_url", "database_roles", "kafka", "topic", "pids", "stream_metrics")
    }
    assert run["http"] == f"http://127.0.0.1:{port}"
    connection = await psycopg.AsyncConnection.connect(run["database_url"])
    await connection.close()
    assert {name: len(pids) for name, pids in run["pids"].items()} == {
        "http": 2,
        "stream": 1,
        "kafka": 1,
        "postgres": 1,
    }
    os.kill(run["pids"]["http"][1], signal.SIGKILL)
    without = await run_file(folder, other_than=run)
    assert without["pids"]["http"] == run["pids"]["http"][:1]
    again = await run_file(folder, other_than=without)
    assert len(again["pids"]["http"]) == 2

    second = await launch(folder, free_port())
    said, _ = await second.communicate()
    assert second.returncode == 1
    assert f"process {command.pid}, http://127.0.0.1:{port}" in said.decode()

    began = time.monotonic()
    command.terminate()
    said, _ = await command.communicate()
    assert time.monotonic() - began < 10
    assert command.returncode == 0
    assert f"curl http://127.0.0.1:{port}/api/organizations/1234567890/balance/" in said.decode()
    assert said.decode().endswith("Stopping…\n")
    assert not path.exists()
    assert not [pid for pids in again["pids"].values() for pid in pids if is_alive(pid)]


async def test_a_part_that_fails_ends_the_start(folder: Path) -> None:
    """When a part can't start, up shows what that part said, and leaves nothing running."""
    command = await launch(folder, free_port(), FAILS="stream")
    said, _ = await command.communicate()
    assert command.returncode == 1
    assert "stream 0 ended by itself (exit 1)" in said.decode()
    assert "OSTATOK_STREAM_GROUP: must be a name." in said.decode()
    pid = int((folder / "data" / "kafka" / "kafka.pid").read_text())
    assert await gone(pid, seconds=0)


async def test_a_taken_port_is_said_before_anything_starts(folder: Path) -> None:
    """A port somebody listens on is refused in one sentence, with what to do."""
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = await launch(folder, port)
    said, _ = await command.communicate()
    server.close()
    await server.wait_closed()
    assert command.returncode == 1
    assert said.decode().startswith(f"Can't listen on 127.0.0.1:{port}: Address already in use.")
    assert not (folder / "data" / "postgres").exists()


def test_a_held_folder_is_refused(folder: Path) -> None:
    """Who holds a folder is named to the next who wants it; once let go of, it is free."""
    first, second = DataFolder(folder), DataFolder(folder)
    with (
        first.held("http://127.0.0.1:1"),
        pytest.raises(LocalError, match=f"process {os.getpid()}, http://127.0.0.1:1"),
        second.held("http://127.0.0.1:2"),
    ):
        pass
    with second.held("http://127.0.0.1:2"):
        pass


def test_the_callers_services_are_not_mixed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings for another Kafka or Postgres don't reach the embedded ones; the rest passes."""
    monkeypatch.setenv("OSTATOK_KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("OSTATOK_DATABASE_URL_FILE", "/run/secrets/url")
    monkeypatch.setenv("OSTATOK_DATABASE_SSLMODE", "verify-full")
    monkeypatch.setenv("OSTATOK_DATABASE_SCHEMA", "other")
    monkeypatch.setenv("OSTATOK_TOPIC", "x")
    environment = embedded_environment("postgresql://here/ostatok", "127.0.0.1:1")
    assert {name: value for name, value in environment.items() if name.startswith("OSTATOK_")} == {
        "OSTATOK_DATABASE_SCHEMA": "other",
        "OSTATOK_TOPIC": "x",
        "OSTATOK_DATABASE_URL": "postgresql://here/ostatok",
        "OSTATOK_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "OSTATOK_LOG_FORMAT": "json",
    }
