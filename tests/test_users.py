"""The commands about the console's users."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from support.services import Rows

from ostatok.cli import main
from ostatok.passwords import Passwords
from ostatok.settings import Settings
from ostatok_db import users as users_module

PASSWORD = "остывший чай и трамвай"
TWICE = f"{PASSWORD}\n{PASSWORD}\n"

Run = Callable[..., Result]


@pytest.fixture
def run(database: Settings) -> Run:
    """Run ``ostatok user``."""
    url = database.database_url.get_secret_value()

    def run_(*arguments: str, typed: str = "") -> Result:
        environment = {"OSTATOK_DATABASE_URL": url}
        return CliRunner().invoke(main, ["user", *arguments], input=typed, env=environment)

    return run_


def test_a_user_is_made_with_a_password_that_is_not_shown(run: Run, rows: Rows) -> None:
    """It is asked for twice, and kept as a hash; the trail says who made whom."""
    made = run("create", "anna", "--role", "operator", typed=TWICE)
    assert (made.exit_code, PASSWORD in made.output) == (0, False)
    ((name, role, kept),) = rows(
        "SELECT name, role, password_hash FROM ostatok_service.console_user"
    )
    assert (name, role, Passwords().fits(PASSWORD, kept)) == ("anna", "operator", True)
    ((kind, action, who, about),) = rows(
        "SELECT kind, action, who, about FROM ostatok_service.trail"
    )
    assert (kind, action, about) == ("done", "user create", "anna operator")
    assert who
    again = run("create", "anna", "--role", "viewer", typed=TWICE)
    assert (again.exit_code, "There is a user anna already" in again.output) == (1, True)
    assert rows("SELECT count(*) FROM ostatok_service.trail") == [(1,)]


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("anna", "anna12345678\n" * 2, "little more than the user's name"),
        ("anna", "short\n" * 2, "fewer than 12 characters"),
        ("token crm", TWICE, "must be 1 to 64 letters"),
    ],
)
def test_a_weak_password_or_a_strange_name_is_refused(
    run: Run, rows: Rows, name: str, typed: str, said: str
) -> None:
    """In a sentence, and nobody is made."""
    refused = run("create", name, "--role", "viewer", typed=typed)
    assert (refused.exit_code != 0, said in refused.output) == (True, True)
    assert rows("SELECT count(*) FROM ostatok_service.console_user") == [(0,)]


@pytest.mark.parametrize("of", [("create", "anna", "--role", "viewer"), ("password", "anna")])
def test_where_nobody_can_be_asked_the_way_out_is_named(run: Run, of: tuple[str, ...]) -> None:
    """As in a container without a terminal: a sentence and what helps, not click's Aborted."""
    refused = run(*of)
    assert (refused.exit_code, "Aborted" in refused.output) == (1, False)
    assert "nobody to ask for the password" in refused.output
    assert "--generate makes one" in refused.output


def test_a_generated_password_is_printed_once(run: Run, rows: Rows) -> None:
    """And is the one that fits."""
    made = run("create", "anna", "--role", "viewer", "--generate")
    password = made.output.strip().rpartition(" ")[2]
    kept = "SELECT password_hash FROM ostatok_service.console_user"
    assert Passwords().fits(password, rows(kept)[0][0])
    another = run("password", "anna", "--generate").output.strip().rpartition(" ")[2]
    assert another != password
    assert Passwords().fits(another, rows(kept)[0][0])
    assert password not in run("list").output


def test_each_change_ends_sessions_and_leaves_a_row(run: Run, rows: Rows) -> None:
    """But a change of role, which is for the next request, and to be let in again."""
    run("create", "anna", "--role", "viewer", "--generate")
    session = (
        "INSERT INTO ostatok_service.console_session (hash, user_id, client, browser)"
        " SELECT sha256(random()::text::bytea), id, '', '' FROM ostatok_service.console_user"
        " RETURNING 1"
    )
    sessions = "SELECT count(*)::int FROM ostatok_service.console_session"
    for arguments, left in (
        (("role", "anna", "--role", "operator"), 1),
        (("enable", "anna"), 1),
        (("password", "anna", "--generate"), 0),
        (("disable", "anna"), 0),
        (("logout", "anna"), 0),
    ):
        rows(f"WITH gone AS (DELETE FROM ostatok_service.console_session) {session}")
        done = run(*arguments)
        assert (done.exit_code, rows(sessions)) == (0, [(left,)]), done.output
        last = "SELECT action FROM ostatok_service.trail ORDER BY id DESC LIMIT 1"
        assert rows(last) == [(f"user {arguments[0]}",)]
    ((role, is_disabled),) = rows(
        "SELECT role, disabled_at IS NOT NULL FROM ostatok_service.console_user"
    )
    assert (role, is_disabled) == ("operator", True)


def test_who_is_not_there_cant_be_changed(run: Run, rows: Rows) -> None:
    """A sentence says so, and the trail says nothing."""
    for command in ("disable", "enable", "logout"):
        refused = run(command, "boris")
        assert (refused.exit_code, "There is no user boris" in refused.output) == (1, True)
    assert rows("SELECT count(*) FROM ostatok_service.trail") == [(0,)]


def test_users_are_listed(run: Run, rows: Rows) -> None:
    """With their roles, and in how many browsers each can be logged in; as JSON too."""
    run("create", "anna", "--role", "viewer", "--generate")
    run("create", "boris", "--role", "operator", "--generate")
    rows(
        "INSERT INTO ostatok_service.console_session (hash, user_id, client, browser, seen_at)"
        " SELECT sha256(at::text::bytea), id, '', '', now() - at FROM ostatok_service.console_user,"
        " unnest(ARRAY['1 minute', '31 minutes']::interval[]) AS at WHERE name = 'anna' RETURNING 1"
    )
    run("disable", "boris")
    listed = run("list").output.splitlines()
    assert [line.split()[:2] for line in listed[:2]] == [["anna", "viewer"], ["boris", "operator"]]
    assert "1 session" in listed[0]
    assert "disabled" in listed[1]
    found = json.loads(run("list", "--json").output)
    assert [(one["name"], one["sessions"]) for one in found] == [("anna", 1), ("boris", 0)]
    assert "hash" not in str(found)


def test_there_are_so_many_users(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whom each may have sessions: the tables stay small."""
    monkeypatch.setattr(users_module, "USERS_MAX", 1)
    assert run("create", "anna", "--role", "viewer", "--generate").exit_code == 0
    assert run("create", "boris", "--role", "viewer", "--generate").exit_code == 1
