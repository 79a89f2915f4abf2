"""What the commands have in common."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ostatok.settings import Settings

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended, as a shell has it."""

of_up = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of a running `ostatok up`. [default: the services of the OSTATOK_… variables]",
)
"""Most who try a command have an ``up`` running, and no variables set."""


def settings_of(data: Path | None) -> "Settings":
    """Give the settings: of the ``up`` that runs on a folder, or of the variables."""
    from ostatok import logs  # noqa: PLC0415
    from ostatok.local.folder import running_on  # noqa: PLC0415
    from ostatok.settings import load  # noqa: PLC0415

    settings = load() if data is None else load(**running_on(data))
    # Events go to standard error, and never into the file of a process that has one.
    logs.configure(settings.model_copy(update={"log_file": None}))
    return settings


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Let long work say how far it is, on standard error."""
    from ostatok.local.screen import Screen  # noqa: PLC0415

    screen = Screen(sys.stderr)
    try:
        yield screen.progress
    finally:
        screen.end()


def as_text(value: Any) -> str:
    """Give JSON for people and programs."""
    import msgspec  # noqa: PLC0415

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
