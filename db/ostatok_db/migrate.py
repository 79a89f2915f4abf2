"""The schema: made and brought up to date, one process at a time; see upgrade.py for how."""

from importlib.resources import files

import psycopg
from psycopg import sql

from ostatok.errors import LedgerError
from ostatok.payment import operation_id_of
from ostatok.settings import Settings
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.ledger import check_topic
from ostatok_db.queries import queries
from ostatok_db.roles import grant, require_owner

LOCK_KEY = 0x6F737461746F6B
"""Of the session advisory lock: "ostatok" in ASCII."""


def migrate(settings: Settings) -> str:
    """Bring the schema up to date, give its roles their rights, and give its revision.

    Two that run at once do so one after the other. Raises :class:`LedgerError`.
    """
    schema = settings.database_schema
    target = conninfo(settings, name="migrate", writes=True)
    with mapped_errors(), psycopg.connect(target, autocommit=True) as connection:
        _check_encoding(connection)
        require_owner(connection, settings)
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        service = files("ostatok_db").joinpath("migrations/service.sql")
        connection.execute(service.read_bytes())
        newest = newest_revision()
        if _revision(connection, schema) != newest:
            # Alembic takes longer to load than all the rest here to run, and mostly has no work.
            from ostatok_db.upgrade import upgrade  # noqa: PLC0415

            upgrade(target)
        _name_operations(connection)
        grant(connection, settings)
    return newest


def _name_operations(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Say of dead letters which operation they name, where a worker of before 0003 did not.

    Such workers run on, and write dead letters, between the migration and their replacement.
    """
    with connection.transaction(), connection.cursor("unnamed") as unnamed:
        unnamed.execute(
            'SELECT value, topic, partition, "offset" FROM dead_letter '
            "WHERE operation_id IS NULL AND value IS NOT NULL"
        )
        for value, *position in unnamed:
            if (operation_id := operation_id_of(bytes(value))) is not None:  # type: ignore[call-overload]
                connection.execute(
                    "UPDATE dead_letter SET operation_id = %s "
                    'WHERE topic = %s AND partition = %s AND "offset" = %s',
                    (operation_id, *position),
                )


def newest_revision() -> str:
    """Give the revision of the schema that this version of the code makes."""
    versions = files("ostatok_db").joinpath("migrations/versions")
    return max(one.name for one in versions.iterdir() if one.name[0].isdigit()).partition("_")[0]


def _revision(connection: psycopg.Connection[tuple[object, ...]], schema: str) -> object:
    """Give the revision that the schema has; None before the first."""
    table = sql.Identifier(schema, "alembic_version")
    exists = connection.execute("SELECT to_regclass(%s)", (table.as_string(connection),))
    if exists.fetchone() == (None,):
        return None
    statement = sql.SQL("SELECT version_num FROM {}").format(table)
    row = connection.execute(statement).fetchone()
    return row and row[0]


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
