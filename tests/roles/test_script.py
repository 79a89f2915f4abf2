"""`ostatok roles`, from its SQL to a payment: an administrator, then each part as its own role."""

import subprocess
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from support.payments import body
from support.roles import ROLES, as_part, give_password
from support.services import Services
from support.system import System, wait_until

from ostatok.cli import main
from ostatok.errors import LedgerError
from ostatok.local.postgres import programs
from ostatok.local.processes import environment_of
from ostatok.settings import Settings
from ostatok_db.migrate import migrate

ALL = {"database_role_migrate": "ostatok-migrate", **ROLES}
"""One has a name that SQL must quote."""

INN = "1234567890"


@pytest.fixture
def installed(services: Services, tmp_path: Path) -> Settings:
    """An empty database, in which an administrator ran the script twice, and gave passwords."""
    settings = services.new_settings(**ALL)
    url = settings.database_url.get_secret_value()
    with psycopg.connect(services.database_url, autocommit=True) as administrator:
        name = sql.Identifier(url.rpartition("/")[2])
        administrator.execute(sql.SQL("DROP DATABASE {}").format(name))
        administrator.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    printed = CliRunner().invoke(main, ["roles"], env=environment_of(settings))
    assert printed.exit_code == 0, printed.output
    for _ in range(2):
        # Also when its role is in the way of nothing: what is there stays.
        done = subprocess.run(
            [str(programs() / "psql"), "-v", "ON_ERROR_STOP=1", "--dbname", url, "--quiet"],
            input=printed.output,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(url, autocommit=True) as administrator:
        for role in ALL.values():
            give_password(administrator, role)
    return settings


def test_a_payment_goes_through_three_roles(installed: Settings, tmp_path: Path) -> None:
    """`migrate`, `stream` and `http`, each connected as its own role, and none as another.

    The commands that look after it have the role that docs/recovery.md names.
    """
    url = {part: as_part(installed, part).database_url.get_secret_value() for part in PARTS}
    as_owner = as_part(installed, "migrate")
    with System(as_owner, tmp_path) as system:
        system.environment["OSTATOK_DATABASE_URL"] = url["stream"]
        system.start_stream()
        assert "Everything agrees." in system.run("audit")
        assert "Done" in system.run("replay")
        system.environment["OSTATOK_DATABASE_URL"] = url["http"]
        system.start_http()
        assert system.post(body(), Prefer="wait=20").headers["Preference-Applied"] == "wait"
        answer = system.balance(INN)
        assert answer.body == b'{"inn": "1234567890", "balance": 145000.00}'
        assert "0 dead letters." in system.run("dead-letters", "list")
        system.environment["OSTATOK_DATABASE_URL"] = url["migrate"]
        assert "is the live one now" in system.run("rebuild", "--swap")
        # The rights went with the tables, and the processes with them.
        assert system.post(body(amount=5), Prefer="wait=20").headers["Preference-Applied"] == "wait"
        wait_until(lambda: b"145005.00" in system.balance(INN).body, "the second one counts")
        runs = system.sql(
            "SELECT command, exit_status FROM ostatok_service.operator_run ORDER BY id"
        )
        assert runs == [("audit", 0), ("replay", 0), ("rebuild", 0)]
        users = dict(
            system.sql(
                "SELECT DISTINCT usename, true FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name ~ '^ostatok (http|stream)'"
            )
        )
        assert set(users) == {ROLES["database_role_http"], ROLES["database_role_stream"]}


PARTS = ("migrate", "stream", "http")


def test_who_may_become_the_owner_is_refused(installed: Settings) -> None:
    """A right that is to be had by SET ROLE is a right."""
    url = installed.database_url.get_secret_value()
    owner, role = (sql.Identifier(ALL[f"database_role_{part}"]) for part in ("migrate", "http"))
    with psycopg.connect(url, autocommit=True) as administrator:
        administrator.execute(sql.SQL("GRANT {} TO {}").format(owner, role))
        try:
            with pytest.raises(LedgerError, match="a member of the role that owns the ledger"):
                migrate(as_part(installed, "migrate"))
        finally:
            administrator.execute(sql.SQL("REVOKE {} FROM {}").format(owner, role))
    migrate(as_part(installed, "migrate"))


def test_without_names_it_says_which_to_set() -> None:
    """There is nothing to print, and no guess about what the roles of others are called."""
    done = CliRunner().invoke(main, ["roles"], env={"OSTATOK_DATABASE_ROLE_MIGRATE": "owner"})
    assert done.exit_code == 1
    assert "Neither OSTATOK_DATABASE_ROLE_STREAM nor OSTATOK_DATABASE_ROLE_HTTP" in done.output


def test_it_holds_no_password(installed: Settings) -> None:
    """What is printed may be kept, mailed and looked at."""
    printed = CliRunner().invoke(main, ["roles"], env=environment_of(as_part(installed, "http")))
    assert "of each role" not in printed.output
    assert "PASSWORD" not in printed.output
