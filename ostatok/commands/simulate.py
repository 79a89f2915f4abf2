"""The command that plays a bank. As in cli.py, parts are imported where they run."""

import asyncio
import secrets
from pathlib import Path

import click

from ostatok.errors import LocalError

_SHARE = click.FloatRange(0, 1)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="Where the service listens.",
)
@click.option("--source", default="bank", show_default=True, help="Which sender to be.")
@click.option(
    "--secret-file",
    type=_FILE,
    help="File with the Standard Webhooks secret (whsec_…) to sign webhooks with.",
)
@click.option(
    "--token-file", type=_FILE, help="File with an API token (`ostatok token`) to read balances by."
)
@click.option(
    "--webhooks",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="How many to send.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=0,
    help="Webhooks a second. [default: as fast as they are answered]",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 1_000),
    default=64,
    show_default=True,
    help="Requests at the same time.",
)
@click.option(
    "--organizations",
    type=click.IntRange(1, 1_000_000),
    default=1_000,
    show_default=True,
    help="INNs that pay.",
)
@click.option(
    "--duplicates",
    type=_SHARE,
    default=0.1,
    show_default=True,
    help="Share of webhooks that repeat an earlier one.",
)
@click.option(
    "--conflicts",
    type=_SHARE,
    default=0.01,
    show_default=True,
    help="Share that repeat one with another amount.",
)
@click.option(
    "--bad",
    type=_SHARE,
    default=0.01,
    show_default=True,
    help="Share of bodies that must be refused.",
)
@click.option("--seed", type=int, help="Repeats an earlier run. [default: by chance]")
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    help="Seconds to repeat one webhook, and to wait for the last balance.",
)
def simulate(  # noqa: PLR0913  # one for each option
    *,
    url: str,
    source: str,
    secret_file: Path | None,
    token_file: Path | None,
    webhooks: int,
    rate: float,
    connections: int,
    organizations: int,
    duplicates: float,
    conflicts: float,
    bad: float,
    seed: int | None,
    patience: float,
) -> None:
    """Be a bank: post webhooks at a running service, then prove every balance.

    Sends new payments, duplicates, conflicts (the same operation with another amount) and bad
    bodies; repeats what gets no answer, as a bank would. Exits 1 when a balance is not the sum of
    the payments that were acknowledged.
    """
    from ostatok.local.screen import Screen  # noqa: PLC0415
    from ostatok.local.simulate import DIFFERENCES_SHOWN_MAX, Plan, Simulation  # noqa: PLC0415

    if duplicates + conflicts + bad > 1:
        raise click.UsageError("The shares must not add up to more than 1.")
    chosen = secrets.randbits(32) if seed is None else seed
    plan = Plan(
        url=url,
        source=source,
        secret=_content(secret_file),
        token=_content(token_file),
        webhooks=webhooks,
        rate=rate,
        connections=connections,
        organizations=organizations,
        duplicates=duplicates,
        conflicts=conflicts,
        bad=bad,
        seed=chosen,
        patience_seconds=patience,
    )
    screen = Screen()
    screen.line(f"Sending {webhooks} webhooks to {url}, --seed {chosen}")
    report = asyncio.run(Simulation(plan, screen.progress).run())
    screen.line()
    for answer, count in sorted(report.answers.items()):
        screen.line(f"  {answer:15} {count:10}")
    screen.line(
        f"{report.answers.total() / report.seconds:.0f} webhooks a second, "
        f"{report.repeats} sent again."
    )
    for line in report.wrong[:DIFFERENCES_SHOWN_MAX]:
        screen.line(line)
    if report.wrong:
        raise LocalError(
            f"{len(report.wrong)} things are wrong.", hint=f"Repeat with --seed {chosen}."
        )
    screen.line(f"All {report.balances} balances are right: {report.total} rubles arrived once.")


def _content(path: Path | None) -> str | None:
    """Read a secret. It is given by a file: everyone sees the arguments of a process."""
    return None if path is None else path.read_text(encoding="utf-8").strip()
