"""What `ostatok migrate` makes of rights, and which roles it refuses."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from support.roles import ROLES, as_role, give_password, with_roles

from ostatok.errors import LedgerError, SettingsError
from ostatok.settings import Settings, load
from ostatok_db.connection import conninfo
from ostatok_db.migrate import migrate

STREAM, HTTP = ROLES.values()
OTHER = "ostatok_other"

GIVEN = """
    SELECT schema, name, ARRAY(SELECT one::text FROM unnest(acl) AS one ORDER BY 1), columns,
           written
    FROM (SELECT nspname AS schema, relname AS name, relacl AS acl, pg_class.xmin::text AS written,
                 ARRAY(SELECT attname::text FROM pg_attribute
                       WHERE attrelid = pg_class.oid AND attacl IS NOT NULL) AS columns
          FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE relkind = 'r'
          UNION ALL SELECT nspname, proname, proacl, pg_proc.xmin::text, NULL
          FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
          UNION ALL SELECT nspname, '', nspacl, xmin::text, NULL FROM pg_namespace) AS things
    WHERE schema IN ('ostatok', 'ostatok_service') AND name NOT IN ('end_run', 'drop_old_runs')
    ORDER BY 1, 2
"""
"""Every right there is, and the transaction that wrote it last. The two functions are made anew by
each migration, and keep their rights."""


@pytest.fixture
def owner(database: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    """The owner of ``database``, who may make roles too."""
    with psycopg.connect(conninfo(database, name="test"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(owner: psycopg.Connection[TupleRow]) -> Iterator[sql.Identifier]:
    """A role that no setting names."""
    name = sql.Identifier(OTHER)
    owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    owner.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    yield name
    owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
    owner.execute(sql.SQL("DROP ROLE {}").format(name))


def test_without_roles_nothing_is_granted(
    database: Settings, owner: psycopg.Connection[TupleRow]
) -> None:
    """One role for all, as ever: nobody else's rights are touched.

    What acts as the owner is his alone all the same.
    """
    before = owner.execute(GIVEN.encode()).fetchall()
    migrate(database)
    assert owner.execute(GIVEN.encode()).fetchall() == before
    everybody = (
        "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace::regnamespace::text "
        "IN ('ostatok', 'ostatok_service') AND has_function_privilege('public', oid, 'EXECUTE')"
    )
    assert owner.execute(everybody.encode()).fetchall() == [(0,)]


def test_a_second_time_nothing_is_written(
    database: Settings, owner: psycopg.Connection[TupleRow]
) -> None:
    """Every migration asks, and one that finds all right leaves the catalogue alone."""
    settings = with_roles(database)
    migrate(settings)
    before = owner.execute(GIVEN.encode()).fetchall()
    migrate(settings)
    assert owner.execute(GIVEN.encode()).fetchall() == before


def test_what_is_not_needed_is_taken_away(
    database: Settings, owner: psycopg.Connection[TupleRow]
) -> None:
    """The rights are what the version says, whoever gave what before."""
    settings = with_roles(database)
    migrate(settings)
    before = [row[:4] for row in owner.execute(GIVEN.encode()).fetchall()]
    for statement in (
        f"GRANT UPDATE, DELETE ON organization TO {HTTP}",
        f"GRANT UPDATE (balance) ON organization TO {HTTP}",
        f"GRANT SELECT ON payment TO {HTTP} WITH GRANT OPTION",
        f"REVOKE SELECT ON duplicate FROM {HTTP}",
        "GRANT INSERT ON payment TO PUBLIC",
        "GRANT CREATE ON SCHEMA ostatok TO PUBLIC",
        f"GRANT CREATE ON SCHEMA ostatok_service TO {STREAM}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ostatok TO PUBLIC",
        f"REVOKE EXECUTE ON FUNCTION chain FROM {STREAM}",
        f"GRANT ALL ON SEQUENCE ostatok_service.dead_letter_decision_id_seq TO {HTTP}",
        f"CREATE TABLE later (n int); GRANT ALL ON later TO {HTTP}",
    ):
        owner.execute(statement.encode())
    migrate(settings)
    later = "SELECT has_table_privilege(%s, 'later', 'SELECT')"
    assert owner.execute(later, (HTTP,)).fetchall() == [(False,)]
    owner.execute("DROP TABLE later")
    assert [row[:4] for row in owner.execute(GIVEN.encode()).fetchall()] == before


def test_rights_of_others_are_left_alone(
    database: Settings, owner: psycopg.Connection[TupleRow], other: sql.Identifier
) -> None:
    """Who may read the ledger for reports goes on reading."""
    owner.execute(sql.SQL("GRANT SELECT ON organization TO {}").format(other))
    migrate(with_roles(database))
    read = "SELECT has_table_privilege(%s, 'organization', 'SELECT')"
    assert owner.execute(read, (OTHER,)).fetchall() == [(True,)]


def test_a_role_that_is_not_there_is_said(database: Settings) -> None:
    """In one sentence, with the setting and what makes it."""
    named = database.model_copy(update={"database_role_http": "not-there"})
    sentence = "Postgres has no role not-there, which OSTATOK_DATABASE_ROLE_HTTP names."
    with pytest.raises(LedgerError, match=sentence) as raised:
        migrate(named)
    assert "ostatok roles" in str(raised.value.hint)


def test_the_owner_is_no_role_of_a_part(
    database: Settings, owner: psycopg.Connection[TupleRow]
) -> None:
    """Revoking from him what http does not need would leave nobody who has it."""
    ((name,),) = owner.execute("SELECT current_user").fetchall()
    with pytest.raises(LedgerError, match=r"OSTATOK_DATABASE_ROLE_HTTP names \w+, who owns"):
        migrate(database.model_copy(update={"database_role_http": name}))


def test_a_right_by_way_of_another_role_is_refused(
    database: Settings, owner: psycopg.Connection[TupleRow], other: sql.Identifier
) -> None:
    """What was not granted it must not have, whoever it has it from; then nothing is changed."""
    settings = with_roles(database)
    owner.execute(sql.SQL("GRANT USAGE ON SCHEMA ostatok TO {}").format(other))
    owner.execute(sql.SQL("GRANT UPDATE (balance) ON organization TO {}").format(other))
    owner.execute(sql.SQL("GRANT {} TO {}").format(other, sql.Identifier(HTTP)))
    before = owner.execute(GIVEN.encode()).fetchall()
    sentence = f"The role {HTTP} of .* has UPDATE on organization from elsewhere"
    with pytest.raises(LedgerError, match=sentence):
        migrate(settings)
    assert owner.execute(GIVEN.encode()).fetchall() == before


def test_a_database_of_somebody_else_is_said(
    database: Settings, owner: psycopg.Connection[TupleRow], other: sql.Identifier
) -> None:
    """Who owns the schemas and not the database can't let anybody in; an administrator must."""
    settings = with_roles(database)
    name = sql.Identifier(owner.info.dbname)
    owner.execute(sql.SQL("GRANT TEMPORARY, CREATE ON DATABASE {} TO {}").format(name, other))
    give_password(owner, OTHER)
    owner.execute(
        sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM {}").format(name, sql.Identifier(STREAM))
    )
    elsewhere = as_role(settings, OTHER).model_copy(update={"database_schema": "ostatok_elsewhere"})
    owner.execute("DROP SCHEMA ostatok_service CASCADE")
    with pytest.raises(LedgerError, match=f"{STREAM} needs TEMPORARY on the database") as raised:
        migrate(elsewhere)
    assert "ostatok roles" in str(raised.value.hint)
    # Whose it is lets it in by himself.
    owner.execute(sql.SQL("DROP OWNED BY {}").format(other))
    migrate(settings)
    asked = "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')"
    assert owner.execute(asked, (STREAM,)).fetchall() == [(True,)]


def test_another_owner_is_refused(database: Settings) -> None:
    """What it made would belong to somebody else than the rest."""
    named = database.model_copy(update={"database_role_migrate": "ostatok_migrate"})
    with pytest.raises(LedgerError, match="the ledger belongs to ostatok_migrate"):
        migrate(named)


@pytest.mark.parametrize("name", ['x"; DROP', "pg_read_all_data", "public", "", "a" * 64, "a b"])
def test_a_name_that_is_none_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, with the variable named; an empty one is as good as none."""
    monkeypatch.setenv("OSTATOK_DATABASE_ROLE_HTTP", name)
    if not name:
        assert load().database_role_http is None
        return
    with pytest.raises(SettingsError, match="OSTATOK_DATABASE_ROLE_HTTP"):
        load()


def test_two_parts_need_two_roles() -> None:
    """One role with the rights of both would be none."""
    with pytest.raises(SettingsError, match="must be different roles"):
        load(database_role_http="same", database_role_stream="same")
