"""A command leaves a row that says what it did. A courtesy: nothing of the command waits for it."""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ostatok.commands.options import INTERRUPTED, me
from ostatok.errors import LedgerError, OstatokError

if TYPE_CHECKING:
    from ostatok.settings import Settings
    from ostatok_db.runs import Command, Runs
    from ostatok_db.second import Difference
    from ostatok_stream.audit import Report
    from ostatok_stream.comparing import Finding, Found
    from ostatok_stream.rebuild import Rebuilt
    from ostatok_stream.replay import Replayed

TABLE = "ostatok_service.operator_run"

SENTENCES_MAX = 20
"""Of what a run found, as much as its row repeats."""

Result = dict[str, Any]


@contextmanager
def recorded(settings: "Settings", command: "Command") -> Iterator[Result]:
    """Note that a command begins, and how it ends, with the result that is put into what it gives.

    What can't be noted is said in one line on standard error.
    """
    run = _begin(settings, command)
    result: Result = {}
    try:
        yield result
    except BaseException as error:
        _end(settings, run, _status_of(error), result | _said(error))
        raise
    _end(settings, run, 0, result)


def _begin(settings: "Settings", command: "Command") -> "tuple[Runs, int] | None":
    """Give the run's number, and the connection that shows that it is under way."""
    from ostatok_db.runs import Runs  # noqa: PLC0415

    try:
        runs = Runs.connect(settings)
        try:
            return runs, runs.begin(command, _given(), run_by=me(), host=platform.node())
        except LedgerError:
            runs.close()
            raise
    except LedgerError as error:
        click.echo(f"This run leaves no row in {TABLE}: {error}", err=True)
        return None


def _end(settings: "Settings", run: "tuple[Runs, int] | None", status: int, result: Result) -> None:
    """Note the end on a new connection: nobody knows what became of the other one meanwhile."""
    if run is None:
        return
    runs, number = run
    try:
        with closing(runs), closing(runs.connect(settings)) as now:
            now.end(number, status, result)
    except LedgerError as error:
        click.echo(f"The end of this run is not in {TABLE}: {error}", err=True)
    except KeyboardInterrupt:
        # The command itself is done, and how it ended stands.
        click.echo(f"The end of this run is not in {TABLE}.", err=True)


def _given() -> Result:
    """Give the options and arguments of the command line, by their names there."""
    context = click.get_current_context()
    given: Result = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            value = context.params[name]
            shown = parameter.opts[0].lstrip("-").replace("-", "_")
            given[shown] = str(value) if isinstance(value, Path) else value
    return given


def _status_of(error: BaseException) -> int:
    """Give the exit status that an exception ends the process with."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _said(error: BaseException) -> Result:
    """Give what the command says last, when it is an error."""
    if isinstance(error, OstatokError):
        return {"error": str(error)} | ({"hint": error.hint} if error.hint else {})
    if isinstance(error, Exception):
        # Its text may hold anything.
        return {"error": f"{type(error).__name__}: see what the command printed."}
    return {}


def of_audit(report: "Report") -> Result:
    """What an audit came to."""
    return {
        "records": report.records,
        "organizations": report.organizations,
        "entries": report.entries,
        "cut_partitions": len(report.cut),
        **_of_found(report),
    }


def of_replay(replayed: "Replayed") -> Result:
    """What a replay came to."""
    return {
        "outcomes": {str(outcome): many for outcome, many in replayed.outcomes.items() if many},
        "finished": not replayed.rest,
        **_of_found(replayed),
    }


def of_rebuild(rebuilt: "Rebuilt") -> Result:
    """What a rebuild came to."""
    return {
        "records": sum(rebuilt.offsets.values()),
        "differences": len(rebuilt.differences),
        "finished": rebuilt.finished,
        "swapped": rebuilt.swapped,
        "before_left": rebuilt.is_before_left,
        "kinds": _counted(one.kind for one in rebuilt.differences),
        "sample": [difference_as_text(one) for one in rebuilt.differences[:SENTENCES_MAX]],
    }


def _of_found(found: "Found") -> Result:
    return {
        "wrong": found.wrong,
        "kinds": _counted(str(one.kind) for one in found.findings),
        "sample": [finding_as_text(one) for one in found.findings[:SENTENCES_MAX]],
    }


def _counted(kinds: Iterable[str]) -> dict[str, int]:
    return dict(Counter(kinds))


def finding_as_text(one: "Finding") -> str:
    """Give a finding as a line."""
    return f"{one.kind}: {one.where}: {one.what}"


def difference_as_text(one: "Difference") -> str:
    """Give a difference as a line."""
    return f"{one.inn or '-'}: {one.kind} {one.what}"
