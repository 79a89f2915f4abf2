"""The README's commands, run as they stand there."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.payments import body
from support.system import request, wait_until
from support.whole import Whole, data_folder, finished, running_up

from ostatok import __version__
from ostatok.cli import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
OPERATION = "0d0fd3c8-7d4c-4d8e-9f0e-2f0a3d6a7b11"
CURLS = re.findall(r"```sh\n(curl [^\n]*)\n```\n```json\n([^\n]*)\n```", TEXT)


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    """What `make run` starts."""
    with data_folder() as folder, running_up(folder) as running:
        yield running


def test_the_curl_pair_answers_to_the_letter(whole: Whole) -> None:
    """Each curl line gets what stands under it, twice."""
    assert len(CURLS) == 2
    for command, expected in CURLS * 2:
        words = shlex.split(command.replace("http://127.0.0.1:8000", whole.url))
        done = subprocess.run([*words, "-sS"], capture_output=True, text=True, check=True)
        assert done.stdout == expected


def test_the_console_has_the_payments_story(whole: Whole) -> None:
    """`ostatok up` says where it is, and the README's payment is found by its id."""
    headers = {"Content-Type": "application/json", "Prefer": "wait=10", "X-Request-ID": "story"}
    paid = body(document_number="STORY-1", operation_id=OPERATION)
    assert request(whole.port, "POST", "/api/webhook/bank/", paid, headers).status == 200
    wait_until(lambda: f"{whole.url}/console/" in whole.said(), "it says where the console is")
    found = request(whole.port, "GET", f"/console/search/?q={OPERATION}")
    assert found.status == 303
    page = request(whole.port, "GET", found.headers["Location"]).body.decode()
    for said in ("STORY-1", "story", "The balance was changed"):
        assert said in page


def test_simulate_proves_its_balances(whole: Whole) -> None:
    """The third command of the first minute, as it stands there but for the port."""
    assert ".venv/bin/ostatok simulate" in COMMANDS
    said = finished(whole.bank())
    assert "10000 webhooks" in said
    for kind in ("new 200", "duplicate 200", "conflict 200", "bad 400"):
        assert kind in said


def test_simulate_finds_a_wrong_balance(whole: Whole) -> None:
    """Money that comes from somewhere else is a difference: exit 1, and the INN is named."""
    options = ("--organizations", "1", "--webhooks", "1000", "--rate", "500", "--seed", "7")
    bank = whole.bank(*options)
    newest = "SELECT inn FROM organization ORDER BY changed_at DESC LIMIT 1"
    before = whole.sql(newest)
    wait_until(lambda: whole.sql(newest) != before, "the bank's first payment is applied")
    ((inn,),) = whole.sql(newest)
    headers = {"Content-Type": "application/json"}
    foreign = body(payer_inn=inn)
    assert request(whole.port, "POST", "/api/webhook/bank/", foreign, headers).status == 200
    said, _ = bank.communicate(timeout=60)
    assert bank.returncode == 1, said
    assert f"The balance of {inn}" in said
    assert "Repeat with --seed 7" in said
    assert "Traceback" not in said


def test_every_command_named_is_there() -> None:
    """Make's targets and ostatok's commands, each with a help."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in COMMANDS:
        words = shlex.split(command)
        if words[0] == "make":
            assert words[1] in targets
        elif words[0].endswith("ostatok"):
            assert words[1] in main.commands
        else:
            assert words[0] == "curl"
    for name in main.commands:
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0
        assert len(shown.output.split()) > 15


def test_version() -> None:
    """`ostatok --version` answers."""
    shown = CliRunner().invoke(main, ["--version"])
    assert shown.output == f"ostatok, version {__version__}\n"


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Every file that either README points at is there, and has the heading."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^):]+)\)", text)):
        assert (ROOT / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / target).read_text("utf-8"), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], target


def test_errors_are_a_sentence_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback, exit 1, and what to do."""
    monkeypatch.setenv("OSTATOK_HTTP_PORT", "many")
    for command in ("http", "migrate"):
        shown = CliRunner().invoke(main, [command])
        assert shown.exit_code == 1
        assert "OSTATOK_HTTP_PORT" in shown.output
        assert "Traceback" not in shown.output
