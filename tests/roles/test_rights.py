"""What the roles of http and stream can do in Postgres, tried in SQL by somebody who has them."""

import re

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, NotNullViolation
from support.roles import ROLES, Ask, as_part

from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.rights import LEDGER, OF_SERVICE, SERVICE, USAGE

TABLES = [
    "ostatok.alembic_version",
    "ostatok.applied_offset",
    "ostatok.balance_log",
    "ostatok.dead_letter",
    "ostatok.duplicate",
    "ostatok.organization",
    "ostatok.payment",
    "ostatok.replayed",
    "ostatok_service.console_session",
    "ostatok_service.console_user",
    "ostatok_service.dead_letter_decision",
    "ostatok_service.login_failure",
    "ostatok_service.operator_run",
    "ostatok_service.token",
    "ostatok_service.trail",
]
"""Every table: who adds one thinks here about who may write to it."""

MAY_WRITE = {
    "http": {
        ("ostatok_service.console_session", "DELETE"),
        ("ostatok_service.console_session", "INSERT"),
        ("ostatok_service.console_session", "UPDATE seen_at"),
        ("ostatok_service.console_user", "UPDATE password_hash"),
        ("ostatok_service.dead_letter_decision", "INSERT"),
        ("ostatok_service.login_failure", "DELETE"),
        ("ostatok_service.login_failure", "INSERT"),
        ("ostatok_service.login_failure", "UPDATE"),
        ("ostatok_service.token", "UPDATE last_used_at"),
        ("ostatok_service.trail", "INSERT"),
    },
    "stream": {
        ("ostatok.applied_offset", "UPDATE"),
        ("ostatok.balance_log", "INSERT"),
        ("ostatok.dead_letter", "INSERT"),
        ("ostatok.duplicate", "INSERT"),
        ("ostatok.organization", "INSERT"),
        ("ostatok.organization", "UPDATE"),
        ("ostatok.payment", "INSERT"),
        ("ostatok.replayed", "INSERT"),
        ("ostatok_service.operator_run", "INSERT"),
    },
}
"""All of it. Said here once more, so that nobody gives a right in passing."""

LOGS = [
    "ostatok.balance_log",
    "ostatok.dead_letter",
    "ostatok.duplicate",
    "ostatok.payment",
    "ostatok.replayed",
    "ostatok_service.dead_letter_decision",
    "ostatok_service.operator_run",
    "ostatok_service.trail",
]
"""What is written there stays."""


def columns_of(settings: Settings, table: str) -> list[str]:
    """The names of a table's columns, as SQL writes them."""
    statement = (
        "SELECT quote_ident(attname) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    )
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        return [name for (name,) in connection.execute(statement, (table,)).fetchall()]


@pytest.mark.parametrize("part", MAY_WRITE)
def test_it_writes_what_it_needs_and_nothing_else(ask: Ask, roled: Settings, part: str) -> None:
    """Each table and each verb, each column of its own: all others are refused for want of a right.

    Not by a trigger, which its owner could disable.
    """
    found = set()
    for table in TABLES:
        columns = columns_of(roled, table)
        statements = {
            "INSERT": f"INSERT INTO {table} DEFAULT VALUES",
            "DELETE": f"DELETE FROM {table} WHERE false",
            "TRUNCATE": f"TRUNCATE {table}",
            **{
                f"UPDATE {column}": f"UPDATE {table} SET {column} = DEFAULT WHERE false"
                for column in columns
            },
        }
        may = {verb for verb, statement in statements.items() if is_let(ask, part, statement)}
        if may >= (each := {f"UPDATE {column}" for column in columns}):
            may = may - each | {"UPDATE"}
        found |= {(table, verb) for verb in may}
        assert table not in LOGS or may <= {"INSERT"}
    assert found == MAY_WRITE[part]


def is_let(ask: Ask, part: str, statement: str) -> bool:
    """Whether a part may say so; what it says may be wrong otherwise."""
    try:
        ask(part, statement)
    except InsufficientPrivilege as error:
        assert "permission denied for" in str(error), statement
        return False
    except NotNullViolation:
        pass
    return True


def test_a_balance_is_what_it_was_after_all_that(ask: Ask) -> None:
    """The http role reads it, and can neither change it nor add a payment that would."""
    read = "SELECT balance, entries FROM organization"
    before = ask("http", read)
    assert len(before) == 1
    # To whom somebody could give a right that he does not have, Postgres only gives a warning.
    ask("http", "GRANT ALL ON organization TO CURRENT_USER")
    for statement in (
        "UPDATE organization SET balance = balance + 1",
        "UPDATE ostatok.organization SET balance = balance + 1",
        (
            "INSERT INTO organization SELECT '2222222222', balance, entries, head, changed_at "
            "FROM organization"
        ),
        "DELETE FROM organization",
        (
            "MERGE INTO organization USING (SELECT 1) AS one ON true "
            "WHEN MATCHED THEN UPDATE SET balance = 1"
        ),
        "WITH changed AS (UPDATE organization SET balance = 1 RETURNING inn) SELECT * FROM changed",
        "SELECT * FROM organization FOR UPDATE",
        "COPY organization FROM STDIN",
        "UPDATE balance_log SET new_balance = 1",
        (
            "INSERT INTO payment SELECT gen_random_uuid(), inn, amount, document_number, "
            'document_date, source, request_id, topic, partition, "offset" + 100, received_at '
            "FROM payment"
        ),
        "UPDATE applied_offset SET next_offset = 0",
        "DO $$ BEGIN LOCK TABLE organization IN ACCESS EXCLUSIVE MODE; END $$",
    ):
        with pytest.raises(InsufficientPrivilege, match="permission denied"):
            ask("http", statement)
    assert ask("http", read) == before


BEYOND = {
    "become the owner": "SET ROLE {owner}",
    "become the owner for a session": "SET SESSION AUTHORIZATION {owner}",
    "give itself the owner": "GRANT {owner} TO CURRENT_USER",
    "disable the triggers of a table": "ALTER TABLE balance_log DISABLE TRIGGER ALL",
    "disable all triggers": "SET session_replication_role = replica",
    "make a trigger": "CREATE TRIGGER mine BEFORE INSERT ON payment "
    "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "drop a constraint": "ALTER TABLE balance_log DROP CONSTRAINT balance_log_adds_up",
    "drop a table": "DROP TABLE payment",
    "drop the schema": "DROP SCHEMA ostatok CASCADE",
    "rename the schema": "ALTER SCHEMA ostatok RENAME TO mine",
    "own the schema": "ALTER SCHEMA ostatok OWNER TO CURRENT_USER",
    "make a table": "CREATE TABLE ostatok.mine (n int)",
    "make a schema": "CREATE SCHEMA mine",
    "make a function in the ledger": "CREATE FUNCTION ostatok.chain_link(int) RETURNS int "
    "LANGUAGE sql AS 'SELECT 1'",
    "make a function of service's": "CREATE FUNCTION ostatok_service.mine() RETURNS int "
    "LANGUAGE sql AS 'SELECT 1'",
    "replace a function": "CREATE OR REPLACE FUNCTION ostatok.chain_link(state bytea, "
    "before bytea, content text) RETURNS bytea LANGUAGE sql AS 'SELECT state'",
    "index a table": "CREATE INDEX mine ON payment (inn)",
    "make a rule": "CREATE RULE mine AS ON INSERT TO payment DO INSTEAD NOTHING",
    "make a policy": "CREATE POLICY mine ON payment",
    "read files": "COPY organization FROM '/etc/passwd'",
    "run programs": "COPY (SELECT 1) TO PROGRAM 'id'",
    "make roles": "CREATE ROLE mine SUPERUSER",
    "change the next number of a decision": "SELECT setval("
    "'ostatok_service.dead_letter_decision_id_seq', 1)",
}


@pytest.mark.parametrize("part", MAY_WRITE)
@pytest.mark.parametrize("how", BEYOND)
def test_it_can_go_no_way_round(ask: Ask, roled: Settings, part: str, how: str) -> None:
    """Whatever else would lead to the ledger is the owner's, or the superuser's."""
    with psycopg.connect(conninfo(roled, name="test")) as connection:
        ((owner,),) = connection.execute("SELECT current_user").fetchall()
    with pytest.raises(InsufficientPrivilege):
        ask(part, BEYOND[how].format(owner=owner))


def test_no_function_writes_for_http(ask: Ask) -> None:
    """Those that act as the owner are for the stream's role; and it can end no run but an open one.

    Nor can it drop one of the last thousand.
    """
    run = (
        "INSERT INTO ostatok_service.operator_run (topic, schema, command, arguments, run_by, host)"
        " VALUES ('t', 's', 'audit', '{}', 'me', 'here') RETURNING id"
    )
    ((number,),) = ask("stream", run)
    end, drop = (
        f"SELECT ostatok_service.end_run({number}, 0, '{{}}')",
        "SELECT ostatok_service.drop_old_runs('t', 's', 'audit')",
    )
    for statement in (end, drop):
        with pytest.raises(InsufficientPrivilege):
            ask("http", statement)
    ask("stream", end)
    ask("stream", end.replace("0, '{}'", "1, '[]'"))
    ask("stream", drop)
    found = "SELECT exit_status, result FROM ostatok_service.operator_run"
    assert ask("stream", found) == [(0, {})]


def test_a_temporary_table_shadows_nothing(ask: Ask) -> None:
    """One that is called like a table of the ledger is not what the role's own statements read."""
    balances = ask("stream", "SELECT balance FROM organization")
    ask("stream", "CREATE TEMPORARY TABLE organization AS SELECT 1 AS balance")
    assert ask("stream", "SELECT balance FROM organization") == balances
    with pytest.raises(InsufficientPrivilege):
        ask("http", "CREATE TEMPORARY TABLE organization AS SELECT 1 AS balance")


def test_every_table_and_right_is_listed(roled: Settings) -> None:
    """Who else than the owner may do what, walked through Postgres's own catalogue.

    A table, a function or a right that nobody listed is found here.
    """
    statement = """
        SELECT nspname, name, privilege_type,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
        FROM (SELECT relnamespace AS namespace, relname AS name, relowner AS owner,
                     coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char"
                                                              ELSE 'r' END, relowner)) AS acl
              FROM pg_class WHERE relkind NOT IN ('i', 'I', 't', 'c')
              UNION ALL SELECT relnamespace, relname || ' ' || attname, relowner, attacl
              FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid WHERE attacl IS NOT NULL
              UNION ALL SELECT pronamespace, proname, proowner,
                               coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
              UNION ALL SELECT oid, '', nspowner, nspacl FROM pg_namespace) AS things
        JOIN pg_namespace AS n ON n.oid = namespace
        LEFT JOIN LATERAL (SELECT * FROM aclexplode(acl) WHERE grantee <> owner) AS given ON true
        WHERE nspname = ANY(%s)
    """
    schemas = {roled.database_schema: LEDGER, SERVICE: OF_SERVICE}
    with psycopg.connect(conninfo(roled, name="test")) as connection:
        rows = connection.execute(statement.encode(), (list(schemas),)).fetchall()
    there = {(schema, name) for schema, name, *_ in rows if not re.search(r"_id_seq$| ", name)}
    listed = {(schema, name) for schema, rights in schemas.items() for name in rights}
    assert there == listed - {("ostatok", "held_back")} | {(schema, "") for schema in schemas}
    given = {(schema, name, right, role) for schema, name, right, role in rows if right is not None}
    wanted = {
        # A right on a column is said as one on "table column".
        (schema, f"{name} {column[:-1]}".strip(), verb, ROLES[f"database_role_{part}"])
        for schema, tables in schemas.items()
        for name, rights in {**tables, "": USAGE}.items()
        for part, text in rights._asdict().items()
        for verb, _, column in (right.partition(" (") for right in text.split(", ") if right)
    }
    assert given == wanted


def test_others_have_nothing(roled: Settings) -> None:
    """A role that is named nowhere does not even see what there is."""
    nobody = as_part(roled.model_copy(update={"database_role_http": "ostatok_nobody"}), "http")
    with psycopg.connect(conninfo(roled, name="test"), autocommit=True) as owner:
        owner.execute("CREATE ROLE ostatok_nobody LOGIN PASSWORD 'of each role'")
    try:
        with psycopg.connect(conninfo(nobody, name="test"), autocommit=True) as connection:
            for table in TABLES:
                with pytest.raises(InsufficientPrivilege, match="denied for schema"):
                    connection.execute(f"SELECT 1 FROM {table}".encode())
    finally:
        with psycopg.connect(conninfo(roled, name="test"), autocommit=True) as owner:
            owner.execute("DROP ROLE ostatok_nobody")
