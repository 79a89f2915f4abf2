"""The commands of recovery: they compare topic and ledger, and mend what can be mended.

As in cli.py, parts are imported where they run.
"""

import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostatok.commands.options import (
    INTERRUPTED,
    as_text,
    of_up,
    progress,
    settings_of,
    until_interrupted,
)
from ostatok.commands.runs import (
    difference_as_text,
    finding_as_text,
    of_audit,
    of_rebuild,
    of_replay,
    recorded,
)
from ostatok.errors import OstatokError

if TYPE_CHECKING:
    from ostatok.settings import Settings
    from ostatok_stream.comparing import Finding
    from ostatok_stream.rebuild import Rebuilt

SWITCH_SECONDS = 0.0005
"""How long a thread computes before another has its turn: a tenth of Python's default."""

LISTED_MAX = 50
"""Findings that are printed; the rest is counted. ``--json`` has more of them."""


@click.command()
@of_up
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--digest",
    is_flag=True,
    help="Print one hash over all balances' chains, and the offsets it holds for; keep it "
    "elsewhere.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check what --digest once printed.",
)
def audit(*, data: Path | None, as_json: bool, digest: bool, against: Path | None) -> None:
    """Prove from topic and database together that nothing is lost, doubled or changed.

    Every record has exactly one outcome and it is the right one; balances are the sums of their
    payments; the chain of each log holds. Runs beside the system. Exits 1 and names the rows when
    anything is wrong.
    """
    if as_json + digest + (against is not None) > 1:
        raise click.UsageError("Only one of --json, --digest and --against.")
    settings = settings_of(data)
    if digest or against is not None:
        _digest(settings, against)
        return
    from ostatok_stream.audit import audit as run  # noqa: PLC0415

    with recorded(settings, "audit") as result:
        with progress() as say:
            report = run(settings, say)
        result.update(of_audit(report))
        if as_json:
            click.echo(as_text(report))
            sys.exit(1 if report.wrong else 0)
        for partition, first in sorted(report.cut.items()):
            click.echo(f"Partition {partition} holds nothing before {first}: not compared with it.")
        click.echo(
            f"{report.records:,} records, {report.organizations:,} balances, "
            f"{report.entries:,} log entries."
        )
        _fail_on(report.findings, report.wrong)
        click.echo("Everything agrees.")


def _digest(settings: "Settings", against: Path | None) -> None:
    """Print a digest, or compare with one that was printed."""
    from ostatok_stream.digest import check, make  # noqa: PLC0415

    if against is None:
        # Its row does not have the hash: who could change the ledger could change that too.
        with recorded(settings, "audit --digest"):
            click.echo(as_text(make(settings)))
        return
    with recorded(settings, "audit --against"):
        click.echo(check(settings, against))


@click.command()
@of_up
@click.option(
    "--from",
    "since",
    multiple=True,
    help="First record: partition:offset, once for each partition, or a time. [default: all]",
)
@click.option(
    "--to",
    "until",
    multiple=True,
    help="The record behind the last, or a time. [default: what is applied]",
)
@click.option("--inn", help="Only records of this INN.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def replay(
    *,
    data: Path | None,
    since: Sequence[str],
    until: Sequence[str],
    inn: str | None,
    dry_run: bool,
) -> None:
    """Read a range of the topic again, and give what has no outcome its outcome.

    Runs beside the system. What has its outcome is seen and left alone; what differs from it is
    reported and not changed. Ctrl-C stops it between two batches; it says how to go on.
    """
    from ostatok.payment import is_inn  # noqa: PLC0415
    from ostatok_stream.replay import Wanted  # noqa: PLC0415
    from ostatok_stream.replay import replay as run  # noqa: PLC0415

    if inn is not None and not is_inn(inn):
        raise click.BadParameter("must be 10 or 12 digits", param_hint="--inn")
    wanted = Wanted(_bound("--from", since), _bound("--to", until), inn, dry_run)
    settings = settings_of(data)
    with recorded(settings, "replay") as result:
        with progress() as say:
            replayed = until_interrupted(lambda stop: run(settings, wanted, say, stop))
        result.update(of_replay(replayed))
        click.echo("Would be:" if dry_run else "Done:")
        for outcome, count in sorted(replayed.outcomes.items()):
            if count:
                click.echo(f"  {outcome:10} {count:>12,}")
        if replayed.rest:
            _list(replayed.findings, replayed.wrong)
            _say_how_to_go_on(replayed.rest, data, inn, dry_run=dry_run)
            sys.exit(INTERRUPTED)
        _fail_on(replayed.findings, replayed.wrong)


@click.command()
@of_up
@click.option("--swap", is_flag=True, help="Put the new ledger in the place of the live one.")
@click.option("--keep", is_flag=True, help="With --swap: keep the old one, as <schema>_before.")
@click.option("--fresh", is_flag=True, help="Begin anew, and not where an earlier rebuild was.")
@click.option(
    "--new-topic", is_flag=True, help="The ledger's topic is lost, and this one is in its place."
)
@click.option("--drop", is_flag=True, help="Drop what an earlier rebuild made, and do no more.")
def rebuild(  # noqa: PLR0913  # one for each option
    *, data: Path | None, swap: bool, keep: bool, fresh: bool, new_topic: bool, drop: bool
) -> None:
    """Make the ledger anew from the whole topic, beside the live one, and compare the two.

    The system goes on meanwhile. Prints what differs, by INN, and exits 1 then; with --swap the new
    ledger takes the live one's place, in one transaction, and what differed is mended.
    """
    from ostatok_stream.rebuild import Wanted  # noqa: PLC0415
    from ostatok_stream.rebuild import rebuild as run  # noqa: PLC0415

    if keep and not swap:
        raise click.UsageError("--keep goes with --swap.")
    if drop and (swap or fresh or new_topic):
        raise click.UsageError("--drop goes alone.")
    settings = settings_of(data)
    if drop:
        _drop(settings)
        return
    # One thread reads while the loop applies, and waits for its turn at each answer of Postgres's.
    sys.setswitchinterval(SWITCH_SECONDS)
    wanted = Wanted(swap=swap, keep=keep, fresh=fresh, new_topic=new_topic)
    with recorded(settings, "rebuild") as result:
        with progress() as say:
            rebuilt = until_interrupted(lambda stop: run(settings, wanted, say, stop))
        result.update(of_rebuild(rebuilt))
        if not rebuilt.finished:
            click.echo("Stopped. The same command goes on from here.")
            sys.exit(INTERRUPTED)
        _report(rebuilt, new_topic=new_topic)


def _drop(settings: "Settings") -> None:
    """Drop the second ledger."""
    from ostatok_db.second import Pair  # noqa: PLC0415

    with recorded(settings, "rebuild --drop"):
        pair = Pair.connect(settings)
        try:
            with pair.alone():
                pair.drop(pair.second)
        finally:
            pair.close()
        click.echo(f"The schema {pair.second} is gone.")


def _report(rebuilt: "Rebuilt", *, new_topic: bool) -> None:
    """Say what differs, and raise when that was all that was done about it."""
    differences = rebuilt.differences
    for one in differences[:LISTED_MAX]:
        click.echo(difference_as_text(one))
    if len(differences) > LISTED_MAX:
        click.echo(f"… and {len(differences) - LISTED_MAX:,} more at the least.")
    records = sum(rebuilt.offsets.values())
    click.echo(f"{records:,} records: {len(differences):,} differences.")
    if rebuilt.swapped:
        click.echo("The new ledger is the live one now.")
        if new_topic:
            click.echo(
                "Begin the next `ostatok topic backup` in a new folder: the topic is another."
            )
        if rebuilt.is_before_left:
            click.echo("The old one could not be dropped: see above. The next --swap says how.")
    elif differences:
        if new_topic:
            raise OstatokError(
                "The new topic lacks what the ledger has, or has it otherwise.",
                hint="`ostatok reseed` writes what it lacks; then the same command. What is listed "
                "after that is otherwise in the new topic, and --swap takes it as it is there.",
            )
        raise OstatokError(
            "The live ledger is not what the journal makes.",
            hint="`ostatok rebuild --swap` puts the new one in its place.",
        )


def _say_how_to_go_on(
    rest: dict[int, tuple[int, int]], data: Path | None, inn: str | None, *, dry_run: bool
) -> None:
    options = [f"--from {one}:{first} --to {one}:{after}" for one, (first, after) in rest.items()]
    options += [f"--inn {inn}"] if inn else []
    options += [f"--data {shlex.quote(str(data))}"] if data else []
    options += ["--dry-run"] if dry_run else []
    click.echo("Stopped. To go on: ostatok replay " + " ".join(options))


def _bound(option: str, texts: Sequence[str]) -> datetime | dict[int, int] | None:
    """Read a time, or positions, of the command line."""
    from ostatok.journal import read_position  # noqa: PLC0415
    from ostatok.payment import read_moment  # noqa: PLC0415

    if not texts:
        return None
    positions: dict[int, int] = {}
    for text in texts:
        with suppress(ValueError):
            partition, offset = read_position(text)
            positions[partition] = offset
            continue
        if len(texts) > 1:
            raise click.BadParameter(f"{text} is no partition:offset", param_hint=option)
        try:
            return read_moment(text)
        except ValueError as error:
            what = f"must be partition:offset, or a time; a time {error}"
            raise click.BadParameter(what, param_hint=option) from None
    return positions


def _fail_on(findings: Iterable["Finding"], wrong: int) -> None:
    """Print what is wrong and raise, if anything is."""
    _list(findings, wrong)
    if wrong:
        things = "1 thing is" if wrong == 1 else f"{wrong:,} things are"
        raise OstatokError(
            f"{things} wrong.", hint="docs/recovery.md says what to do about each kind."
        )


def _list(findings: Iterable["Finding"], wrong: int) -> None:
    listed = list(findings)[:LISTED_MAX]
    for one in listed:
        click.echo(finding_as_text(one))
    if wrong > len(listed):
        click.echo(f"… and {wrong - len(listed):,} more.")
