"""Decisions by commands are in the audit trail too, and it is listed."""

import json

import psycopg
import pytest
from click.testing import CliRunner
from support.operators import three_letters
from support.payments import batch
from support.services import Rows

from ostatok.cli import main
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger

DISCARD = ("dead-letters", "discard", "7:1", "--because", "a test", "--by", "Дежурный")
DECISIONS = "SELECT decided_by FROM ostatok_service.dead_letter_decision"


@pytest.fixture(autouse=True)
async def _letters(database: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands reach a ledger with dead letters."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    monkeypatch.setenv("OSTATOK_DATABASE_URL", database.database_url.get_secret_value())


def run(*words: str, status: int = 0) -> str:
    """Run a command, see its exit status, and give what it says."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == status, done.output
    return done.output


def test_a_decision_by_command_is_in_the_trail(rows: Rows) -> None:
    """With who decided and on which machine; one that is refused, or only tried, is not."""
    run(*DISCARD, "--dry-run")
    assert run("trail") == "0 rows.\n"
    run(*DISCARD)
    run(*DISCARD, status=1)
    (row,) = json.loads(run("trail", "--json"))
    assert (row["kind"], row["action"], row["who"]) == ("done", "discard", "Дежурный")
    assert (row["about"], bool(row["client"])) == ("7:1", True)
    assert " discard by Дежурный from " in run("trail", "--who", "дежурный")
    assert run("trail", "--kind", "denied") == "0 rows.\n"
    assert run("trail", "--until", "2026-01-01") == "0 rows.\n"
    assert "--since" in run("trail", "--since", "yesterday", status=2)
    assert rows(DECISIONS) == [("Дежурный",)]


def test_without_the_trail_a_command_decides_nothing(database: Settings, rows: Rows) -> None:
    """It says why, and what makes the table."""
    with psycopg.connect(conninfo(database, name="test"), autocommit=True) as owner:
        owner.execute("ALTER TABLE ostatok_service.trail RENAME TO elsewhere")
    assert "ostatok migrate" in run(*DISCARD, status=1)
    assert rows(DECISIONS) == []
