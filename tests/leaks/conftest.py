"""The system with secrets in it, run once for all that look through what it left."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from support import leaks
from support.collector import running_collector
from support.door import Door
from support.leak_scene import Scene
from support.services import Services

from ostatok.local.ports import free_port
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import load

ROLE = DATABASE = "leaks"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A broker that asks for a certificate and a password."""
    made = Door(tmp_path_factory.mktemp("door"), leaks.SASL_PASSWORD, leaks.KEY_PASSWORD)
    asyncio.run(made.kafka.start())
    yield made
    asyncio.run(made.kafka.stop())


@pytest.fixture(scope="module")
def database_url(services: Services) -> Iterator[str]:
    """A database whose owner has a planted password; the one in its URL is wrong."""
    role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
    password = sql.Literal(leaks.DATABASE_PASSWORD)
    with psycopg.connect(services.database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        owner.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        owner.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    where = conninfo_to_dict(services.database_url)
    yield (
        leaks.SETTINGS["database_url"]
        .replace("//nobody", f"//{ROLE}")
        .replace("127.0.0.1:5432/none", f"{where['host']}:{where['port']}/{DATABASE}")
    )
    with psycopg.connect(services.database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        owner.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture(scope="module")
def scene(
    door: Door, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """All that came out of it."""
    with running_collector() as collector:
        given = {
            **leaks.SETTINGS,
            **door.settings(),
            "database_url": database_url,
            "topic": "leaks",
            "http_port": free_port(),
            "http_serve": ALL_PARTS,
            "http_operators": True,
            "http_authentication": True,
            "stream_metrics_port": free_port(),
            "traces_endpoint": collector.url,
            "traces_ratio": 1,
            "log_level": "debug",
            "log_format": "json",
        }
        played = Scene(load(**given), collector, tmp_path_factory.mktemp("scene"))
        played.play()
        yield played
