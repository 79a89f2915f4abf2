"""The commands about dead letters: look at them, redrive them, or discard them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostatok.commands.options import as_text, echo_all, me, moment, of_up, settings_of
from ostatok.commands.trail import doing, opened
from ostatok.errors import NotRedrivable, OstatokError

if TYPE_CHECKING:
    from ostatok.payment import Payment
    from ostatok.settings import Settings
    from ostatok_db.dead_letters import DeadLetters, Filter, Letter
    from ostatok_db.redrive import Redrive

    Wanted = list[tuple[int, int]] | Filter
    """The positions that were named, or which others."""

LISTED_MAX = 1_000
AT_ONCE_MAX = 10_000
"""How many one command redrives or discards."""

Command = Callable[..., Any]


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at records that could be no payment, redrive them, or discard them."""


def _which(command: Command) -> Command:
    """The options that choose dead letters."""
    for option in (
        click.option("--until", help="Received before this time."),
        click.option("--since", help="Received at this time or later."),
        click.option("--reason", help="Part of the reason."),
        click.option("--operation", help="Operation id that the body names."),
        click.argument("positions", nargs=-1, metavar="[PARTITION:OFFSET]..."),
        of_up,
    ):
        command = option(command)
    return command


@dead_letters.command("list")
@_which
@click.option("--all", "everything", is_flag=True, help="Also those that were decided about.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(*, everything: bool, as_json: bool, **which: Any) -> None:
    """List dead letters that nobody has decided about, the earliest first."""
    with _opened(which) as (letters, wanted):
        found = _find(letters, wanted(decided=None if everything else False), LISTED_MAX)
    end = f"{len(found)} dead letters" + (" and more." if len(found) == LISTED_MAX else ".")
    echo_all(found, _line, end, as_json=as_json)


@dead_letters.command()
@click.argument("position", metavar="PARTITION:OFFSET")
@of_up
def show(*, position: str, data: Path | None) -> None:
    """Show a dead letter whole and all decisions about it, as JSON: what is no text in base64."""
    with _opened({"positions": (position,), "data": data}) as (letters, wanted):
        (letter,) = _find(letters, wanted(decided=None), 1)
        record = letters.content(letter).shown()
        decisions = letters.decisions(letter)
    click.echo(as_text({"letter": letter, "record": record, "decisions": decisions}))


@dead_letters.command()
@_which
@click.option(
    "--value",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the corrected body, for one dead letter.",
)
@click.option("--again", is_flag=True, help="Also those that were decided about.")
@click.option("--by", help="Who decides. [default: you]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def redrive(
    *, value: Path | None, again: bool, by: str | None, dry_run: bool, **which: Any
) -> None:
    """Publish dead letters again, the same bytes or a corrected body, under the right key.

    The dead letter stays, and names the new record. An operation that was counted meanwhile is not
    counted twice.
    """
    from ostatok.record_writer import RecordWriter  # noqa: PLC0415
    from ostatok_db.redrive import Redrive  # noqa: PLC0415

    corrected = value.read_bytes() if value is not None else None
    with _opened(which) as (letters, wanted):
        found = _chosen(letters, wanted(decided=None if again else False), again=again)
        if corrected is not None and len(found) != 1:
            raise click.UsageError("--value corrects one dead letter: give its position.")
        settings = settings_of(which["data"])
        _check_journal(settings)
        work = Redrive(letters, RecordWriter(settings), by or me())
        # All are looked at before any is published.
        payments = [_checked(work, letter, corrected) for letter in found]
        action = "redrive" if corrected is None else "correct"
        with opened(settings) as trail:
            for letter, payment in zip(found, payments, strict=True):
                what = f"{letter.position}: operation {payment.operation_id}"
                if dry_run:
                    click.echo(f"{what} would be published.")
                    continue
                with doing(trail, action, by or me(), letter.position):
                    new = work.publish(letter, corrected, payment, again=again)
                click.echo(f"{what} is published at {new[0]}:{new[1]}.")


@dead_letters.command()
@_which
@click.option("--because", required=True, help="Why nothing is to be made of them.")
@click.option("--again", is_flag=True, help="Also those that were decided about.")
@click.option("--by", help="Who decides. [default: you]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def discard(*, because: str, again: bool, by: str | None, dry_run: bool, **which: Any) -> None:
    """Say that nothing is to be made of dead letters. They stay, with the reason."""
    if not because.strip():
        raise click.BadParameter("must say something", param_hint="--because")
    with _opened(which) as (letters, wanted), opened(settings_of(which["data"])) as trail:
        for letter in _chosen(letters, wanted(decided=None if again else False), again=again):
            if not dry_run:
                with doing(trail, "discard", by or me(), letter.position):
                    letters.discard(letter, by=by or me(), because=because, again=again)
            click.echo(f"{letter.position}{' would be' if dry_run else ''} discarded.")


@contextmanager
def _opened(
    which: Mapping[str, Any],
) -> Iterator[tuple["DeadLetters", Callable[..., "Wanted"]]]:
    """Open the dead letters, and give what says of the options which are wanted."""
    from ostatok_db.dead_letters import DeadLetters  # noqa: PLC0415

    letters = DeadLetters.connect(settings_of(which["data"]))
    try:
        yield letters, partial(_wanted, which)
    finally:
        letters.close()


def _wanted(which: Mapping[str, Any], *, decided: bool | None) -> "Wanted":
    """Give the positions, or a filter for all else; ``decided`` is for the latter."""
    from ostatok.payment import is_operation_id  # noqa: PLC0415
    from ostatok_db.dead_letters import Filter  # noqa: PLC0415

    if positions := which.get("positions", ()):
        if any(which.get(name) for name in ("operation", "reason", "since", "until")):
            raise click.UsageError("Give positions, or options that choose, and not both.")
        return [_read_position(one) for one in positions]
    operation = which["operation"]
    if operation is not None and not is_operation_id(operation):
        raise click.BadParameter("must be a UUID", param_hint="--operation")
    return Filter(
        operation_id=operation,
        reason=which["reason"],
        since=moment("--since", which["since"]),
        until=moment("--until", which["until"]),
        decided=decided,
    )


def _find(letters: "DeadLetters", wanted: "Wanted", limit: int) -> list["Letter"]:
    if isinstance(wanted, list):
        return [letters.at(*position) for position in wanted]
    return letters.find(wanted, limit)


def _chosen(letters: "DeadLetters", wanted: "Wanted", *, again: bool) -> list["Letter"]:
    """Give those that are to be changed: never all of them because nothing was said.

    Nor one that was decided about, unless it is asked for so.
    """
    if not isinstance(wanted, list) and not (
        wanted.operation_id or wanted.reason or wanted.since or wanted.until
    ):
        raise click.UsageError("Say which: positions, or --reason, --operation, --since, --until.")
    found = _find(letters, wanted, AT_ONCE_MAX + 1)
    if len(found) > AT_ONCE_MAX:
        raise OstatokError(
            f"That would be more than {AT_ONCE_MAX:,} dead letters.",
            hint="Take a part of them, with --since and --until.",
        )
    if not found:
        raise OstatokError(f"There are no such dead letters{'' if again else ' undecided'}.")
    if not again:
        for letter in found:
            letter.require_undecided()
    return found


def _checked(work: "Redrive", letter: "Letter", corrected: bytes | None) -> "Payment":
    try:
        return work.check(letter, corrected)
    except NotRedrivable as error:
        raise OstatokError(
            f"The dead letter {letter.position} can't be a payment: {error}.",
            hint="Give a corrected body with --value FILE.",
        ) from None


def _check_journal(settings: "Settings") -> None:
    """See that what is published now will be applied: raise JournalMismatch as http refuses."""
    from ostatok.topic import Topic, check_held  # noqa: PLC0415
    from ostatok_db.auditing import AuditReader  # noqa: PLC0415
    from ostatok_db.ledger import check_topic  # noqa: PLC0415

    topic = Topic(settings)
    with closing(AuditReader.connect(settings)) as reader:
        stored = reader.stored()
    check_topic(stored, topic=settings.topic, described=topic.describe())
    held = topic.ranges(stored)
    check_held(settings.topic, held, {one: offset for one, (offset, _) in stored.items()})


def _read_position(text: str) -> tuple[int, int]:
    from ostatok.journal import read_position  # noqa: PLC0415

    try:
        return read_position(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} {error}") from None


def _line(letter: "Letter") -> str:
    operation = letter.operation_id or "-"
    line = f"{letter.position:>12}  {letter.received_at:%Y-%m-%d %H:%M:%S}Z  {operation:36}"
    return f"{line}  {letter.reason}{_decided(letter)}"


def _decided(letter: "Letter") -> str:
    if letter.decision is None:
        return ""
    where = ""
    if letter.new_offset is not None:
        where = f" at {letter.new_partition}:{letter.new_offset}"
    why = f": {letter.decision_reason}" if letter.decision_reason else ""
    return f"  [{letter.decision}{where} by {letter.decided_by}{why}]"
