"""``ostatok up`` as a person starts it, and a bank that posts at it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from ostatok.local.parts import is_alive
from ostatok.local.ports import free_port
from ostatok.local.postgres import programs
from ostatok.setting_types import PREFIX
from support.system import READY_SECONDS_MAX, request, wait_until

STOP_SECONDS_MAX = 10.0
_UP = (sys.executable, "-m", "ostatok", "up")
BANK_SECONDS_MAX = 150.0
PROGRAM_SECONDS_MAX = 60
PROGRAM_TRIES_MAX = 10


class Whole:
    """A running ``ostatok up``."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, port: int) -> None:
        self.process = process
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    @property
    def run(self) -> dict[str, Any]:
        """What run.json says; it comes a moment after the port answers."""
        wait_until((self.folder / "run.json").exists, "run.json", 5)
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    def is_ready(self) -> bool:
        """Whether /readyz answers 200: from then on all must be as the README says."""
        assert self.process.poll() is None, self.said()
        with suppress(OSError):
            return request(self.port, "GET", "/readyz").status == 200
        return False

    def said(self) -> str:
        """All it printed."""
        return (self.folder.parent / "said").read_text(encoding="utf-8")

    def kill(self, part: str) -> None:
        """``kill -9`` the first process of a part, and wait until another one is in its place."""
        pid = self.run["pids"][part][0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.run["pids"][part][:1] not in ([], [pid]), f"{part} started again")

    def pids(self) -> list[int]:
        """Every process it runs."""
        return [pid for pids in self.run["pids"].values() for pid in pids]

    def stop(self, how: signal.Signals = signal.SIGINT) -> float:
        """Stop it, see that nothing is left, and give the seconds it took."""
        pids = self.pids()
        started = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(STOP_SECONDS_MAX + 5)
        seconds = time.monotonic() - started
        assert code == 0, self.said()
        assert not [pid for pid in pids if is_alive(pid)]
        assert not (self.folder / "run.json").exists()
        return seconds

    def bank(self, *options: str) -> "subprocess.Popen[str]":
        """Let ``ostatok simulate`` post at it."""
        return subprocess.Popen(
            [sys.executable, "-m", "ostatok", "simulate", "--url", self.url, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Look into the ledger."""
        options = "-c search_path=ostatok"
        with psycopg.connect(self.run["database_url"], options=options) as connection:
            return connection.execute(statement.encode()).fetchall()


def finished(bank: "subprocess.Popen[str]") -> str:
    """Wait for a bank to have proven its balances; what it said."""
    said, _ = bank.communicate(timeout=BANK_SECONDS_MAX)
    assert bank.returncode == 0, said
    assert "balances are right" in said
    return said


def program(*argv: str) -> None:
    """Run a program of Postgres's, and again when a batch got in its way (docs/recovery.md)."""
    path = programs() / argv[0]
    for _ in range(PROGRAM_TRIES_MAX):
        done = subprocess.run(
            [str(path), *argv[1:]],
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS_MAX,
            check=False,
        )
        if "deadlock detected" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that the user Postgres runs as can get to, unlike pytest's own."""
    above = Path(tempfile.mkdtemp(prefix="ostatok-up-"))
    above.chmod(0o711)
    try:
        yield above / "data"
    finally:
        shutil.rmtree(above, ignore_errors=True)


@contextmanager
def running_up(folder: Path, *options: str, **variables: str) -> Iterator[Whole]:
    """Run ``ostatok up`` on a folder until it is ready; stop it at the end if nobody did."""
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    with (folder.parent / "said").open("a", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*_UP, "--data", str(folder), "--port", str(port), *options],
            env={**environment, **variables},
            stdout=said,
            stderr=said,
            text=True,
        )
    whole = Whole(process, folder, port)
    try:
        wait_until(whole.is_ready, "ostatok up is ready", READY_SECONDS_MAX * 2)
        yield whole
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX + 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
