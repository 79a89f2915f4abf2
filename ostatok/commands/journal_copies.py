"""The commands for the journal's own loss: copies of the topic, and what a ledger can give back.

As in cli.py, parts are imported where they run.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ostatok.commands.options import INTERRUPTED, of_up, progress, settings_of
from ostatok.commands.runs import Result, recorded
from ostatok.errors import OstatokError

if TYPE_CHECKING:
    from ostatok.backup import Backup, Copied, Restore

_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def topic() -> None:
    """Copy the topic into a folder, a folder into a topic, or delete it."""


@topic.command()
@_folder
@of_up
def backup(*, folder: Path, data: Path | None) -> None:
    """Write what the topic has and FOLDER has not: all at first, then what came since.

    Runs beside the system. A file in FOLDER is whole and never changes, but ends.json: copy that
    first, and FOLDER can be copied elsewhere at any moment. Ctrl-C is safe.
    """
    from ostatok.backup import Backup  # noqa: PLC0415

    settings = settings_of(data)
    with recorded(settings, "topic backup") as result:
        copied = _run(lambda: Backup(settings, folder), result)
        click.echo(f"{copied.records:,} records written to {folder}: it ends at {_ends(copied)}.")


@topic.command()
@_folder
@of_up
def restore(*, folder: Path, data: Path | None) -> None:
    """Write the records of FOLDER into the topic, each as it was.

    The topic is made when it is not there, and must be empty, or what an earlier restore left. A
    ledger of the lost topic takes the new one by `ostatok rebuild --new-topic --swap`.
    """
    from ostatok.backup import Restore  # noqa: PLC0415

    settings = settings_of(data)
    with recorded(settings, "topic restore") as result:
        copied = _run(lambda: Restore(settings, folder), result)
        click.echo(f"{copied.records:,} records written to the topic: it ends at {_ends(copied)}.")
        if copied.moved:
            click.echo("Some lie at other offsets than before: the lost topic had skipped offsets.")


@topic.command()
@click.argument("name")
@of_up
def delete(*, name: str, data: Path | None) -> None:
    """Delete the topic, to make it anew from a copy or from the ledger. NAME must be its name.

    Without a copy, and where the ledger has not applied it, what it holds is lost.
    """
    from ostatok.topic_removal import delete as run  # noqa: PLC0415

    settings = settings_of(data)
    if name != settings.topic:
        raise click.BadParameter(f"the topic is {settings.topic}", param_hint="NAME")
    with recorded(settings, "topic delete"):
        run(settings)
        click.echo(f"The topic {name} is gone.")


@click.command()
@of_up
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
def reseed(*, data: Path | None, dry_run: bool) -> None:
    """Write the payments of the ledger that the topic lacks into it, when its own topic is lost.

    The topic is made when it is not there. What no copy of the topic gives back and no ledger has
    stays lost: the bank's own bytes, repeats, and dead letters. `ostatok rebuild --new-topic`
    shows that payments and balances are the same, and --swap goes on with the new topic.
    """
    from ostatok_stream.reseed import reseed as run  # noqa: PLC0415

    settings = settings_of(data)
    with recorded(settings, "reseed") as result:
        try:
            with progress() as say:
                done = run(settings, say, dry_run=dry_run)
        except KeyboardInterrupt:
            _stopped()
        result |= {"held": done.records, "written": done.written}
        result |= {"repeats": done.repeats, "dead": done.dead}
        click.echo(
            f"{done.records:,} records of payments were in the topic, {done.written:,} "
            f"{'would be' if dry_run else 'are'} written."
        )
        click.echo(
            f"Not in it, unless it came from a copy: the bank's own bytes, the records of "
            f"{done.repeats:,} repeats and of {done.dead:,} dead letters. "
            "`ostatok rebuild --new-topic --swap --keep` keeps what the ledger has of them."
        )


def _stopped() -> NoReturn:
    click.echo("Stopped. The same command goes on from here.")
    sys.exit(INTERRUPTED)


def _run(begin: "Callable[[], Backup | Restore]", result: Result) -> "Copied":
    try:
        with progress() as say:
            copied = begin().run(say)
    except KeyboardInterrupt:
        _stopped()
    except OSError as error:
        # A disk that is full, a folder that nobody may write to.
        raise OstatokError(f"{error.filename or 'The folder'}: {error.strerror}.") from None
    result |= {"records": copied.records, "moved": copied.moved}
    return copied


def _ends(copied: "Copied") -> str:
    return " ".join(f"{partition}:{end}" for partition, end in sorted(copied.ends.items()))
