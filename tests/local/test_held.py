"""The commands that ``up`` holds back: real ones, with settings that end them at once."""

import os
import subprocess
import sys

import pytest

from ostatok.cli import main
from ostatok.local.held import MODULES

# Its input is one that tells, when it is read to its end, what is loaded by then.
CODE = """
import sys
from ostatok.local import held
class Input:
    def read(self):
        print(*sys.modules)
        return b""
    buffer = property(lambda self: self)
sys.stdin = Input()
held.main()
"""


@pytest.mark.parametrize("name", MODULES)
def test_it_loads_first_and_runs_when_its_input_ends(name: str) -> None:
    """What it imports late is there before the word to begin; then it is that command."""
    assert name in main.commands
    held = subprocess.run(
        (sys.executable, "-c", CODE, name),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
        env={**os.environ, "OSTATOK_TOPIC": "no/topic"},
    )
    assert set(MODULES[name]) <= set(held.stdout.split())
    assert held.returncode == 1
    assert held.stderr.startswith("ostatok: OSTATOK_TOPIC")


def test_it_ends_when_nobody_is_there_to_begin_for() -> None:
    """A pipe that ends without the word to begin is that of a start that was killed."""
    held = subprocess.run(
        (sys.executable, "-m", "ostatok.local.held", "migrate"),
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "OSTATOK_TOPIC": "no/topic"},
    )
    assert (held.returncode, held.stderr) == (1, b"")
