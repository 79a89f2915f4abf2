"""Loads the SQL: each statement by its name."""

import re
from importlib.resources import files
from typing import LiteralString, cast

FILES = (
    "queries.sql",
    "audit.sql",
    "console.sql",
    "dead_letters.sql",
    "rebuild.sql",
    "reseed.sql",
    "rights.sql",
    "runs.sql",
    "tokens.sql",
    "trail.sql",
    "users.sql",
)

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _load() -> dict[str, LiteralString]:
    loaded: dict[str, LiteralString] = {}
    for file in FILES:
        text = files("ostatok_db").joinpath(file).read_text(encoding="utf-8")
        pieces = _NAME.split(text)[1:]
        # A file of ours is as good as a literal; nothing from outside ever gets into a statement.
        loaded |= {
            name: cast("LiteralString", statement.strip())
            for name, statement in zip(pieces[::2], pieces[1::2], strict=True)
        }
    return loaded


queries = _load()
