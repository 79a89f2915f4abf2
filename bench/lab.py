"""The services of a bench: a broker, a Postgres and a scratch folder, all its own."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.parts import Part, Running, always_ready
from ostatok.local.ports import free_port
from ostatok.local.postgres import EmbeddedPostgres
from ostatok.local.processes import answers_200
from ostatok.settings import Settings, load
from ostatok.topic import Topic
from ostatok_db.migrate import adopt_topic, migrate

OSTATOK = (sys.executable, "-m", "ostatok")


class Lab:
    """Starts services when they are asked for, and leaves no process and no file behind.

    Postgres runs as ``ostatok up`` runs it: fsync and synchronous_commit are on.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ostatok-bench-"))
        self.folder.chmod(0o711)  # Postgres does not run as root: its user must get to its data.
        self.kafka = EmbeddedKafka(self.folder / "kafka", free_port())
        self.postgres = EmbeddedPostgres(self.folder / "postgres", free_port())
        self._running: list[Running] = []
        self._numbers = iter(range(1_000_000))

    async def __aenter__(self) -> Self:
        """Start broker and database."""
        try:
            await asyncio.gather(self.postgres.start(), self.kafka.start())
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await asyncio.gather(*(running.stop() for running in self._running))
        await asyncio.gather(self.postgres.stop(), self.kafka.stop())
        shutil.rmtree(self.folder, ignore_errors=True)

    def number(self) -> int:
        """A number nobody had before, for names."""
        return next(self._numbers)

    def new_database(self) -> str:
        """Make an empty database, and give its URL."""
        name = f"bench_{self.number()}"
        with psycopg.connect(self.postgres.database_url, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
            connection.execute(statement.format(sql.Identifier(name)))
        return f"{self.postgres.database_url.rpartition('/')[0]}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop one, so that vacuum and checkpoints do no work for it in another side's turn."""
        name = str(conninfo_to_dict(url)["dbname"])
        with psycopg.connect(self.postgres.database_url, autocommit=True) as connection:
            # Not WITH (FORCE), which fails when autovacuum is in it. Without, Postgres ends that,
            # and waits for sessions that are about to end.
            statement = sql.SQL("DROP DATABASE {}")
            connection.execute(statement.format(sql.Identifier(name)))

    async def new_settings(self, **given: object) -> Settings:
        """Settings of a system of its own, its database migrated and its topic made."""
        number = self.number()
        values: dict[str, object] = {
            "database_url": self.new_database(),
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "topic": f"payments-{number}",
            "stream_group": f"group-{number}",
            "http_port": free_port(),
            "stream_metrics_port": free_port(),
            "log_format": "json",
            "log_operations": False,
        }
        settings = load(**{**values, **given})
        await asyncio.to_thread(_migrate, settings)
        return settings

    async def start(
        self,
        name: str,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        *,
        ready_port: int | None = None,
        ready_path: str = "/healthz",
    ) -> Running:
        """Start a process of a side and wait until it answers; its log is in the folder."""
        part = Part(
            name=name,
            argv=argv,
            environment={**environment, "PYTHONUNBUFFERED": "1"},
            log=self.folder / f"{name}-{self.number()}.log",
            ready=answers_200("127.0.0.1", ready_port, ready_path) if ready_port else always_ready,
            stop_seconds=15,
        )
        running = Running(part)
        self._running.append(running)
        await running.wait_ready()
        return running

    async def stop(self, running: Running) -> None:
        """End a process of a side."""
        self._running.remove(running)
        await running.stop()


def _migrate(settings: Settings) -> None:
    topic_id, partitions = Topic(settings).ensure()
    migrate(settings)
    adopt_topic(settings, topic_id=topic_id, partitions=partitions)
