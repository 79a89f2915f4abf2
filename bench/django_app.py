"""The service that Ostatok replaces, written well: bench/peers/django on gunicorn and Postgres."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench import peer
from bench.lab import Lab
from bench.payments import Mix, bodies
from ostatok.local.parts import Part, Running
from ostatok.local.ports import free_port

NAME = "django"
WORKERS = 4
THREADS = 16
_GUNICORN = (
    f"--workers={WORKERS}",
    # Of the ways to run it the cheapest for a payment, in a trial against sync workers and fewer
    # threads: connections are kept, and commits that come together share an fsync.
    "--worker-class=gthread",
    f"--threads={THREADS}",
    # No connection of the load waits so long for its next turn.
    "--keep-alive=60",
    "--log-level=warning",
    # It would lie in the home folder of whoever runs this.
    "--no-control-socket",
)
AGAINST = f"Django REST on gunicorn and Postgres, {WORKERS} workers of {THREADS} threads"
# libpq's variables: how psycopg is told where Postgres is.
_LIBPQ = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
}


class DjangoApp(NamedTuple):
    """A running Django app on a ledger of its own, without payments yet."""

    port: int
    pid: int
    """gunicorn's first process."""
    database: str
    """libpq URL. Its tables have the names of ours."""


@asynccontextmanager
async def django_app(lab: Lab, mix: Mix) -> AsyncIterator[DjangoApp]:
    """Run the app from when it answers; it knows the organizations of the mix already.

    It gets fewer payments than ours in its time. For nearly each of them it would have to make
    an organization, which ours does once in many payments. Its ledger ends with it.
    """
    python = str(await peer.interpreter(NAME))
    database, port = lab.new_database(), free_port()
    environment = _environment(database)
    await _make_tables(lab, python, environment)
    await asyncio.to_thread(_make_organizations, database, mix)
    gunicorn = (python, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", *_GUNICORN)
    running = await lab.start(
        NAME,
        (*gunicorn, "payments.wsgi:application"),
        environment,
        ready_port=port,
        ready_path="/healthz",
    )
    try:
        yield DjangoApp(port, running.pid, database)
    finally:
        await lab.stop(running)
        lab.drop_database(database)


def _environment(database: str) -> dict[str, str]:
    given = conninfo_to_dict(database)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(peer.folder(NAME)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "payments.settings",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        **{variable: str(given[key]) for key, variable in _LIBPQ.items()},
    }


async def _make_tables(lab: Lab, python: str, environment: dict[str, str]) -> None:
    part = Part(
        name="django migrate",
        argv=(python, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"),
        environment=environment,
        log=lab.folder / "django-migrate.log",
    )
    await Running(part).wait_success()


def _make_organizations(database: str, mix: Mix) -> None:
    inns = sorted({inn for inn, _ in bodies(mix)})
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO organization SELECT unnest(%s::text[]), 0", [inns])
        # Autovacuum would do it some time later.
        connection.execute("ANALYZE")
