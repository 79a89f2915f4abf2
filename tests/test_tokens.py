"""The commands about API tokens, as somebody runs them."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from support.services import Rows
from support.tokens import make_token

from ostatok.api_token import hash_of, id_of
from ostatok.cli import main
from ostatok.commands.options import me
from ostatok.settings import Settings
from ostatok_db import tokens as tokens_module

CREATE = ("token", "create", "crm", "--scope", "operator", "--expires", "90d")


@pytest.fixture(autouse=True)
def _variables(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands reach the database of this test."""
    monkeypatch.setenv("OSTATOK_DATABASE_URL", database.database_url.get_secret_value())


def run(*words: str, status: int = 0) -> Result:
    """Run a command, and see its exit status."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == status, done.output
    return done


def test_a_token_is_shown_once(rows: Rows) -> None:
    """Alone on standard output; the database keeps its hash, and the trail who made it."""
    done = run("token", "create", "crm", "--scope", "balance:read", "--inn", "7707083893")
    text = done.stdout.strip()
    assert hash_of(text) == bytes(rows("SELECT hash FROM ostatok_service.token")[0][0])
    listed = run("token", "list").output
    assert text not in listed
    assert f"{id_of(text)}  crm: balance:read, 1 INNs; made " in listed
    assert "never used" in listed
    assert rows("SELECT kind, action, who, about FROM ostatok_service.trail") == [
        ("done", "token create", me(), f"{id_of(text)} (crm): balance:read; 1 INNs")
    ]


def test_a_token_is_revoked(rows: Rows) -> None:
    """It leaves the list, stays with --all, and its name is free; who did it is in the trail."""
    token_id = json.loads(run(*CREATE, "--json").stdout)["id"]
    assert "crm" in run("token", "revoke", token_id).output
    assert run("token", "list").output == "0 tokens.\n"
    assert "revoked" in run("token", "list", "--all").output
    assert "no token" in run("token", "revoke", token_id, status=1).output
    run(*CREATE)
    actions = rows("SELECT action FROM ostatok_service.trail ORDER BY id")
    assert actions == [("token create",), ("token revoke",), ("token create",)]
    assert f"token revoke by {me()} from " in run("trail").output
    assert len(json.loads(run("trail", "--json", "--action", "token revoke").output)) == 1


def test_a_name_is_one_tokens(rows: Rows) -> None:
    """So that a decision says whose it was."""
    run(*CREATE)
    assert "is named crm too" in run(*CREATE, status=1).output
    assert len(rows("SELECT 1 FROM ostatok_service.trail")) == 1


def test_an_expired_token_gives_its_name_away(database: Settings, rows: Rows) -> None:
    """And is not in the list any more."""
    make_token(database, name="crm", expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert run("token", "list").output == "0 tokens.\n"
    assert "expired 2026-01-01" in run("token", "list", "--all").output
    run(*CREATE)
    assert len(rows("SELECT 1 FROM ostatok_service.token WHERE name = 'crm'")) == 2


def test_tokens_are_limited(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each http process holds all of them, and all their INNs."""
    monkeypatch.setattr(tokens_module, "TOKENS_MAX", 2)
    monkeypatch.setattr(tokens_module, "ALL_INNS_MAX", 3)
    make_token(database, "balance:read", name="one", inns=["7707083893", "1234567890"])
    two = ("token", "create", "two", "--scope", "balance:read")
    many = ("--inn", "7707083893", "--inn", "1234567890")
    assert "There are 1 tokens with 2 INNs" in run(*two, *many, status=1).output
    run(*two, *many[:2])
    assert "There are 2 tokens" in run(*CREATE, status=1).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x",), "--scope"),
        (("x", "--scope", "admin"), "balance:read, history:read, operator"),
        (("", "--scope", "operator"), "NAME"),
        (("a\nb", "--scope", "operator"), "NAME"),
        (("x" * 51, "--scope", "operator"), "NAME"),
        (("x", "--scope", "balance:read", "--inn", "123"), "is no INN"),
        (("x", "--scope", "operator", "--inn", "7707083893"), "belongs to no INN"),
        (("x", "--scope", "operator", "--expires", "soon"), "--expires"),
        (("x", "--scope", "operator", "--expires", "2020-01-01"), "in the future"),
        (("x", "--scope", "operator", "--expires", "9999d"), "at the most"),
    ],
)
def test_what_is_wrong_is_named(rows: Rows, words: tuple[str, ...], said: str) -> None:
    """And no token is made."""
    assert said in run("token", "create", *words, status=2).output
    assert rows("SELECT 1 FROM ostatok_service.token") == []
