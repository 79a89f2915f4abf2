"""Postgres of an older time, or emptied, under live webhooks: it catches up by itself."""

import subprocess
import sys

import pytest
from support.system import wait_until
from support.whole import Whole, data_folder, finished, program, running_up

SECONDS_MAX = 60


def ostatok(whole: Whole, *command: str) -> str:
    """Run a command against the services of a running ``ostatok up``."""
    done = subprocess.run(
        [sys.executable, "-m", "ostatok", *command, "--data", str(whole.folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def payments(whole: Whole) -> int:
    """How many the ledger has."""
    ((many,),) = whole.sql("SELECT count(*) FROM payment")
    return int(many)


@pytest.mark.parametrize("what", ["restored", pytest.param("emptied", marks=pytest.mark.long)])
def test_it_catches_up_by_itself(what: str) -> None:
    """No balance is wrong in the end, and topic and database agree on every record."""
    with data_folder() as folder, running_up(folder) as whole:
        bank = whole.bank("--webhooks", "4000", "--rate", "300", "--organizations", "40")
        try:
            go_back(whole, str(folder.parent / "ledger.dump"), what)
            assert "balances are right" in finished(bank)
        finally:
            bank.kill()
            bank.communicate()
        assert "Everything agrees." in ostatok(whole, "audit")
        roles = whole.sql(
            "SELECT DISTINCT usename FROM pg_stat_activity "
            "WHERE application_name IN ('ostatok http', 'ostatok stream') ORDER BY usename"
        )
        assert roles == [("ostatok_http",), ("ostatok_stream",)]


def go_back(whole: Whole, kept: str, what: str) -> None:
    """Let the ledger be what it was a while ago, or nothing."""
    url = whole.run["database_url"]
    wait_until(lambda: payments(whole) > 500, "some are applied")
    program("pg_dump", "--dbname", url, "--schema", "ostatok*", "-Fc", "--file", kept)
    wait_until(lambda: payments(whole) > 1_500, "more are applied")
    if what == "restored":
        again = ("--schema", "ostatok", "--clean", "--if-exists", "--single-transaction")
        program("pg_restore", *again, "--dbname", url, kept)
        assert payments(whole) < 1_500
    else:
        program("psql", "--dbname", url, "-qc", "DROP SCHEMA ostatok CASCADE")
        ostatok(whole, "migrate")
