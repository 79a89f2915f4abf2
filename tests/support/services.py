"""One Postgres and one Kafka for a test run: containers where Docker answers, else embedded ones.

``OSTATOK_TEST_SERVICES=containers`` or ``=embedded`` forces either.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.ports import free_port
from ostatok.local.postgres import EmbeddedPostgres
from ostatok.settings import Settings, load
from ostatok_db.connection import conninfo
from ostatok_db.migrate import migrate

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
DOCKER_SECONDS_MAX = 10
TEMPLATE = "ostatok_template"

Rows = Callable[..., list[tuple[Any, ...]]]
"""Looks into a ledger: a statement and its values, to rows."""

WAITING = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
"""SQL: the sessions of this database that wait for a lock."""


@dataclass(slots=True)
class Services:
    """Where the services of this run are."""

    database_url: str
    kafka: str
    _made: int = field(default=0)

    def new_database(self) -> str:
        """Make a database with an empty ledger in it, and give its URL."""
        self._made += 1
        name = f"test_{self._made}"
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        return _with_database(self.database_url, name)

    def new_settings(self, **given: object) -> Settings:
        """Settings of a system of its own: database, topic and group that nobody else has."""
        database_url = self.new_database()
        values: dict[str, object] = {
            "database_url": database_url,
            "kafka_bootstrap_servers": self.kafka,
            "topic": f"payments-{self._made}",
            "stream_group": f"group-{self._made}",
            "http_port": free_port(),
            "stream_metrics_port": free_port(),
            "log_format": "json",
        }
        return load(**{**values, **given})


def seeds(quick: int, long: int) -> list[Any]:
    """``long`` seeds, of which ``make test`` runs the first ``quick``."""
    return [*range(quick), *(pytest.param(n, marks=pytest.mark.long) for n in range(quick, long))]


def dump(settings: Settings) -> dict[str, list[Any]]:
    """Every table of the ledger's schema, row by row, as text."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> %s",
            (settings.database_schema, "alembic_version"),
        ).fetchall()
        return {
            table: connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()
            for (table,) in tables
        }


def docker_answers() -> bool:
    """Whether there is a Docker engine; the ``docker`` program alone proves nothing."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(
            ["docker", "info"], capture_output=True, timeout=DOCKER_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def running_services() -> Iterator[Services]:
    """Start the services, and end them with everything they left."""
    wanted = os.environ.get("OSTATOK_TEST_SERVICES", "auto")
    if wanted not in {"auto", "containers", "embedded"}:
        raise ValueError("OSTATOK_TEST_SERVICES must be auto, containers or embedded")
    in_containers = wanted == "containers" or (wanted == "auto" and docker_answers())
    with _containers() if in_containers else _embedded() as services:
        _make_template(services)
        yield services


@contextmanager
def _containers() -> Iterator[Services]:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    image = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["postgres"]["image"]
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresContainer(image, driver=None))
        kafka = stack.enter_context(KafkaContainer().with_kraft())
        yield Services(postgres.get_connection_url(), kafka.get_bootstrap_server())


@contextmanager
def _embedded() -> Iterator[Services]:
    folder = Path(tempfile.mkdtemp(prefix="ostatok-tests-"))
    folder.chmod(0o711)  # Postgres does not run as root: its user must get through to its data.
    postgres = EmbeddedPostgres(folder / "postgres", free_port())
    kafka = EmbeddedKafka(folder / "kafka", free_port())

    async def start() -> None:
        await asyncio.gather(postgres.start(), kafka.start())

    async def stop() -> None:
        await asyncio.gather(postgres.stop(), kafka.stop())

    try:
        asyncio.run(start())
        yield Services(postgres.database_url, kafka.bootstrap_servers)
    finally:
        asyncio.run(stop())
        shutil.rmtree(folder, ignore_errors=True)


def _make_template(services: Services) -> None:
    """Migrate once; each test copies the result."""
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE} ENCODING 'UTF8'")
    migrate(load(database_url=_with_database(services.database_url, TEMPLATE)))


def _with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"
