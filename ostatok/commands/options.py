"""What the commands have in common."""

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ostatok.settings import Settings

T = TypeVar("T")

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


def until_interrupted(run: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run work that Ctrl-C tells to stop, and let it end what it has in hand; a second one ends it.

    ``run`` is given what says that it is to stop.
    """

    async def work() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def interrupt(number: int) -> None:
            if stop.is_set():
                # Postgres rolls back what it had in hand.
                os._exit(128 + number)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        return await run(stop)

    return asyncio.run(work())


def me() -> str:
    """Who runs this, by name; in a container the user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def moment(option: str, text: str | None) -> datetime | None:
    """Read the time that an option gives. Raises click's BadParameter."""
    from ostatok.payment import read_moment  # noqa: PLC0415

    try:
        return None if text is None else read_moment(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def as_text(value: Any) -> str:
    """Give JSON for people and programs."""
    import msgspec  # noqa: PLC0415

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def echo_all(found: Sequence[T], line_of: Callable[[T], str], end: str, *, as_json: bool) -> None:
    """Print what was found: all of it as JSON, or a line each and what stands at the end."""
    if as_json:
        click.echo(as_text(found))
        return
    for one in found:
        click.echo(line_of(one))
    click.echo(end)
