"""The command ``ostatok``: it puts the parts together. Imports everything; nothing imports it.

Parts are imported where they run, so that each command needs, and loads, its own alone.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from ostatok import __version__
from ostatok.commands.dead_letters import dead_letters
from ostatok.commands.journal_copies import reseed, topic
from ostatok.commands.options import INTERRUPTED, of_up, settings_of
from ostatok.commands.recovery import audit, rebuild, replay
from ostatok.commands.roles import roles
from ostatok.commands.simulate import simulate
from ostatok.commands.tokens import token
from ostatok.commands.trail import trail
from ostatok.commands.users import user
from ostatok.errors import OstatokError

LOOPBACK = "127.0.0.1"


class _Commands(click.Group):
    """Commands in the order a newcomer meets them; an error of ours is a sentence and a hint."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OstatokError as error:
            _fail(error)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(INTERRUPTED)


def _fail(error: OstatokError) -> NoReturn:
    click.echo(f"ostatok: {error}", err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ostatok")
def main() -> None:
    """Take a bank's payment webhooks in, and answer the balance of an INN.

    `ostatok up` runs everything on this machine. The other commands run one part each, or
    look after what is there, against the Kafka and the Postgres that the environment variables
    OSTATOK_… name; the README lists them.
    """


@main.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".ostatok"),
    show_default=True,
    help="Folder of all data and logs. The next start on it goes on where this one was.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=8000, show_default=True, help="HTTP port."
)
@click.option(
    "--http",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that take webhooks and answer balances.",
)
@click.option(
    "--stream",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that apply the journal to the ledger.",
)
@click.option(
    "--services-only",
    is_flag=True,
    help="Only Kafka and Postgres: for recovery, when the system itself can't start.",
)
def up(  # noqa: PLR0913  # one for each option
    *, data: Path, host: str, port: int, http: int, stream: int, services_only: bool
) -> None:
    """Run the whole system here, in the foreground, with its own Kafka and Postgres.

    Needs no Java, Docker or PostgreSQL: what is missing is fetched at the first start. Ctrl-C
    stops it; nothing is lost.
    """
    from ostatok.local.up import up as run_up  # noqa: PLC0415

    if services_only:
        http = stream = 0
    asyncio.run(run_up(data, host=host, port=port, http=http, stream=stream))


@main.command()
def fetch() -> None:
    """Fetch what `up` needs beyond Python packages: Kafka's own files. Quick when it is there."""
    from ostatok.local.jars import cache_folder, provide  # noqa: PLC0415
    from ostatok.local.screen import Screen  # noqa: PLC0415

    screen = Screen()
    folder = cache_folder()
    asyncio.run(provide(folder, screen.progress, folder.parent / "fetch.log"))
    screen.line("Ready for `make run`.")


@main.command()
@of_up
def migrate(*, data: Path | None) -> None:
    """Make the topic and the schema, or bring them up to date. Safe to run again at any time.

    Refuses a topic whose settings would break a promise, or that is not the one the ledger was
    built from; one that is gone it does not make anew.
    """
    from ostatok.topic import Topic  # noqa: PLC0415
    from ostatok_db.ledger import check_topic  # noqa: PLC0415
    from ostatok_db.migrate import adopt_topic, stored_offsets  # noqa: PLC0415
    from ostatok_db.migrate import migrate as migrate_schema  # noqa: PLC0415

    settings = settings_of(data)
    topic = Topic(settings)
    described = topic.describe()
    revision = migrate_schema(settings)
    if stored := stored_offsets(settings):
        # Before anything is made: a new topic in the place of a lost one would be in the way of it.
        check_topic(stored, topic=settings.topic, described=described)
    topic_id, partitions = topic.ensure()
    adopt_topic(settings, topic_id=topic_id, partitions=partitions)
    click.echo(
        f"Topic {settings.topic}: {partitions} partitions. "
        f"Schema {settings.database_schema}: revision {revision}."
    )


@main.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that share the port. [default: OSTATOK_HTTP_WORKERS, which is 1]",
)
@click.option(
    "--serve",
    help="What is answered: webhook, api, console. [default: OSTATOK_HTTP_SERVE, which is "
    "webhook,api]",
)
def http(workers: int | None, serve: str | None) -> None:
    """Take webhooks and answer balances, until SIGTERM or Ctrl-C."""
    from ostatok.settings import load  # noqa: PLC0415
    from ostatok_http.doors.required import require_doors  # noqa: PLC0415

    wanted = {"http_workers": workers, "http_serve": serve}
    settings = load(**{name: value for name, value in wanted.items() if value is not None})
    require_doors(settings)
    if settings.http_workers == 1 or settings.http_workers_folder is not None:
        from ostatok_http.process import run  # noqa: PLC0415

        run(settings)
        return
    from ostatok.local.workers import serve_http  # noqa: PLC0415
    from ostatok.tracing import require  # noqa: PLC0415
    from ostatok_http.doors.keys import require_keys  # noqa: PLC0415

    # Here, or each of them would say so at each of its starts.
    require(settings)
    require_keys(settings)
    asyncio.run(serve_http(settings))


@main.command()
def stream() -> None:
    """Apply the journal to the ledger, until SIGTERM or Ctrl-C.

    Run as many as you like, up to the topic's partitions: they share them out among themselves.
    """
    from ostatok_stream.app import run  # noqa: PLC0415

    run()


for command in (
    *(roles, token, user, trail),
    *(simulate, audit, replay, rebuild, dead_letters, topic, reseed),
):
    main.add_command(command)
