"""The schema: which revision there is, and when Alembic has work."""

from importlib.resources import files

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from ostatok.settings import Settings, load
from ostatok_db import upgrade as upgrading
from ostatok_db.connection import conninfo
from ostatok_db.migrate import migrate, newest_revision


@pytest.fixture
def settings(database: Settings) -> Settings:
    """A migrated database, asked for another schema in it."""
    return load(
        database_url=database.database_url.get_secret_value(),
        database_schema="another_one",
    )


def test_the_newest_revision_is_alembics_head() -> None:
    """The name of the newest file says it, so that nothing has to be loaded to know it."""
    config = Config()
    folder = files("ostatok_db").joinpath("migrations")
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()


def test_a_schema_that_is_up_to_date_needs_no_alembic(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time there is nothing to do, and Alembic is not asked."""
    assert migrate(settings) == newest_revision()

    def fail(_target: str) -> None:
        raise AssertionError

    monkeypatch.setattr(upgrading, "upgrade", fail)
    assert migrate(settings) == newest_revision()


def test_a_schema_that_is_behind_is_brought_up(settings: Settings) -> None:
    """With one revision missing, that one is made."""
    migrate(settings)
    target = conninfo(settings, name="test", writes=True)
    function = sql.Identifier(settings.database_schema, "chain_link")
    language = "SELECT lanname FROM pg_language JOIN pg_proc p ON p.prolang = pg_language.oid "
    of_ours = language.encode() + b"WHERE p.oid = %s::regproc"
    with psycopg.connect(target) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        # What later revisions made, but for the function.
        connection.execute("DROP INDEX duplicate_operation, duplicate_conflict")
        connection.execute("DROP INDEX duplicate_conflict_inn, dead_letter_received")
        connection.execute("ALTER TABLE dead_letter DROP COLUMN operation_id")
        connection.execute("DROP TABLE replayed")
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE FUNCTION {} (state bytea, before bytea, content text) "
                "RETURNS bytea LANGUAGE sql AS 'SELECT state'"
            ).format(function)
        )
    assert migrate(settings) == newest_revision()
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (newest_revision(),)
        ]
        name = function.as_string(connection)
        assert connection.execute(of_ours, (name,)).fetchall() == [("plpgsql",)]


def test_the_schema_of_decisions_is_made_whatever_the_ledgers_revision(settings: Settings) -> None:
    """A ledger that was restored into another database brings its revision, and not that schema."""
    migrate(settings)
    table = "SELECT to_regclass('ostatok_service.dead_letter_decision') IS NOT NULL"
    with psycopg.connect(conninfo(settings, name="test", writes=True)) as connection:
        connection.execute("DROP SCHEMA ostatok_service CASCADE")
    migrate(settings)
    with psycopg.connect(conninfo(settings, name="test", writes=True)) as connection:
        assert connection.execute(table).fetchall() == [(True,)]
