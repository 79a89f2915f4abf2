"""The schema: made and brought up to date by Alembic from plain SQL, one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from ostatok.errors import LedgerError
from ostatok.settings import Settings
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.ledger import check_topic
from ostatok_db.queries import queries

LOCK_KEY = 0x6F737461746F6B
"""Of the session advisory lock: "ostatok" in ASCII."""


def migrate(settings: Settings) -> str:
    """Bring the schema up to date and give its revision.

    Two that run at once do so one after the other. Raises :class:`LedgerError`.
    """
    schema = settings.database_schema
    target = conninfo(settings, name="migrate", writes=True)
    with mapped_errors(), psycopg.connect(target, autocommit=True) as connection:
        _check_encoding(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        with _alembic(target) as config:
            command.upgrade(config, "head")
            head = ScriptDirectory.from_config(config).get_current_head()
    return str(head)


def stored_offsets(settings: Settings) -> dict[int, tuple[int, str]]:
    """Where the ledger stands: partition → (next offset, id of the topic); empty when it is new."""
    with (
        mapped_errors(),
        psycopg.connect(conninfo(settings, name="migrate", writes=True)) as connection,
    ):
        rows = connection.execute(queries["read_offsets"], {"topic": settings.topic}).fetchall()
    return {partition: (offset, topic_id) for partition, offset, topic_id in rows}


def adopt_topic(settings: Settings, *, topic_id: str, partitions: int) -> None:
    """Make the topic this ledger's journal, or see that it is.

    Raises :class:`JournalMismatch` when it is not: see :func:`check_topic`.
    """
    stored = stored_offsets(settings)
    if stored:
        check_topic(stored, topic=settings.topic, described=(topic_id, partitions))
        return
    given = {"topic": settings.topic, "topic_id": topic_id, "partitions": partitions}
    with (
        mapped_errors(),
        psycopg.connect(conninfo(settings, name="migrate", writes=True)) as connection,
    ):
        connection.execute(queries["make_offsets"], given)


def _check_encoding(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise LedgerError(
            "The database's encoding must be UTF8.", hint="CREATE DATABASE … ENCODING 'UTF8'."
        )


@contextmanager
def _alembic(target: str) -> Iterator[Config]:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(target), poolclass=NullPool
    )
    with as_file(files("ostatok_db").joinpath("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            yield config
            connection.commit()
