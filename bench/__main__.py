"""``python -m bench``: every question, or the ones named."""

import sys
from importlib import import_module
from pathlib import Path

from bench.cli import main
from bench.question import Question


def questions() -> dict[str, Question]:
    """Every question of every file here, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if not path.stem.startswith("__"):
            module = import_module(f"bench.{path.stem}")
            found.update({one.name: one for one in getattr(module, "QUESTIONS", ())})
    return found


if __name__ == "__main__":
    sys.exit(main(questions()))
