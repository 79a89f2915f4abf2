"""Fixtures by subject: services, a ledger, a whole system."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.payments import PARTITIONS, TOPIC, TOPIC_ID
from support.services import Rows, Services, running_services
from support.system import System

from ostatok.local.ports import PORTS, keep
from ostatok.settings import Settings, load
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.migrate import adopt_topic


def pytest_configure(config: pytest.Config) -> None:
    """Share the ports out among the processes that run tests side by side.

    A port that one was given, and listens on later, is free for any other until then.
    """
    given = getattr(config, "workerinput", None)  # pytest-xdist's; None in the only process.
    if given is not None:
        # One that comes in the place of another has the next number.
        own = int(given["workerid"].removeprefix("gw")) % given["workercount"]
        for port in PORTS:
            if port % given["workercount"] != own:
                keep(port)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Postgres and Kafka of this run."""
    with running_services() as running:
        yield running


@pytest.fixture
def database(services: Services) -> Settings:
    """A database with an empty ledger that knows the topic of support.payments."""
    settings = load(database_url=services.new_database(), topic=TOPIC)
    adopt_topic(settings, topic_id=TOPIC_ID, partitions=PARTITIONS)
    return settings


@pytest.fixture
def rows(database: Settings) -> Rows:
    """Look into the ledger from another connection."""

    def look(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(conninfo(database, name="test")) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    return look


@pytest.fixture
async def ledger(database: Settings) -> AsyncIterator[Ledger]:
    """A connection that applies to ``database``."""
    connected = await Ledger.connect(conninfo(database, name="test"))
    yield connected
    await connected.close()


@pytest.fixture(scope="module")
def system(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two http and one stream process on a topic and a database of their own.

    A balance waits longer than by default for what is acknowledged: these tests are about what it
    is, and a machine that is busy with others may need more than a second to apply it.
    """
    folder: Path = tmp_path_factory.mktemp("system")
    with System(services.new_settings(read_wait_seconds=20), folder) as running:
        running.start_stream()
        running.start_http(workers=2)
        yield running
