"""The command that shows the audit trail, and what commands of their own leave in it."""

import platform
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostatok.commands.options import echo_all, moment, of_up, settings_of
from ostatok.errors import LedgerError, OstatokError

if TYPE_CHECKING:
    from ostatok.settings import Settings
    from ostatok_db.trail import Trailed, TrailSession

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000


@click.command()
@of_up
@click.option("--since", help="Of this time or later.")
@click.option("--until", help="Before this time.")
@click.option("--who", help="Part of who it was.")
@click.option("--action", help="What was done, or the door that was closed: balance, redrive …")
@click.option("--kind", type=click.Choice(["denied", "done", "failed"]))
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="How many of the last rows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def trail(  # noqa: PLR0913  # one for each option
    *,
    data: Path | None,
    since: str | None,
    until: str | None,
    who: str | None,
    action: str | None,
    kind: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List who was not let in, and who changed something, the last one last."""
    from ostatok_db.trail import TrailFilter, TrailSession  # noqa: PLC0415

    which = TrailFilter(
        since=moment("--since", since),
        until=moment("--until", until),
        kind=kind,  # type: ignore[arg-type]  # click has seen to it
        action=action,
        who=who,
    )
    with closing(TrailSession.connect(settings_of(data))) as session:
        found = session.find(which, limit)
    end = f"{len(found)} rows" + (", and more before." if len(found) == limit else ".")
    echo_all(found, _line, end, as_json=as_json)


def _line(row: "Trailed") -> str:
    times = f" x{row.times:,}" if row.times > 1 else ""
    who, client = row.who or "nobody known", row.client or "-"
    said = ": ".join(text for text in (row.about, row.reason) if text)
    when = f"{row.last_at:%Y-%m-%d %H:%M:%S}Z"
    return f"{when}  {row.kind:6}  {row.action}{times} by {who} from {client}  {said}".rstrip()


@contextmanager
def opened(settings: "Settings") -> Iterator["TrailSession"]:
    """Open the trail for a command that writes in it."""
    from ostatok_db.trail import TrailSession  # noqa: PLC0415

    with closing(TrailSession.connect(settings)) as session:
        yield session


@contextmanager
def doing(session: "TrailSession", action: str, who: str, about: str) -> Iterator[None]:
    """Write down what is done on this machine before it is done, and that it failed if it does.

    Raises :class:`LedgerError` when it can't be written down: then it is not done.
    """
    from ostatok_db.trail import Trailed  # noqa: PLC0415

    host = platform.node()
    session.add(Trailed("done", action, who, host, about))
    try:
        yield
    except OstatokError as error:
        # Why it failed is said anyway, and may be why this can't be written either.
        with suppress(LedgerError):
            session.add(Trailed("failed", action, who, host, about, str(error)))
        raise
