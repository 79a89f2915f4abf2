"""Sessions of the console: how long each goes on, and what ends it."""

from functools import partial

import pytest
from aiohttp import ClientSession
from support.logins import Visitor, client, done, users_of, visitor
from support.services import Rows
from support.tokens import eventually

from ostatok.passwords import Passwords
from ostatok.settings import Settings
from ostatok_db import logins
from ostatok_db.logins import Logins
from ostatok_db.pool import WritePool
from ostatok_db.users import Role

LOGIN = "/console/login/"
AGE = "UPDATE ostatok_service.console_session SET {} = {} - interval '{}'"

__all__ = ["client", "visitor"]


@pytest.mark.parametrize(
    ("column", "age"), [("created_at", "12 hours 1 second"), ("seen_at", "30 minutes 1 second")]
)
async def test_a_session_ends_by_itself(
    visitor: Visitor, rows: Rows, column: str, age: str
) -> None:
    """Some hours after the login, and when nobody asks for a page for a while."""
    await visitor.log_in()
    rows(AGE.format(column, column, "29 minutes") + " RETURNING 1")
    assert await visitor.is_in()
    rows(AGE.format(column, column, age) + " RETURNING 1")
    assert not await visitor.is_in()
    await Visitor(visitor._client).log_in()
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(1,)]


async def test_a_page_keeps_a_session_and_a_stream_does_not(visitor: Visitor, rows: Rows) -> None:
    """A page that is left open is no reason to stay logged in."""
    await visitor.log_in()
    seen = "SELECT seen_at > now() - interval '1 minute' FROM ostatok_service.console_session"
    rows(AGE.format("seen_at", "seen_at", "10 minutes") + " RETURNING 1")
    headers = {"Cookie": f"ostatok_session={visitor.cookies['ostatok_session']}"}
    async with visitor._client.get("/console/events", headers=headers) as stream:
        assert stream.status == 200
        await stream.content.readline()
    assert rows(seen) == [(False,)]
    assert await visitor.is_in()
    assert rows(seen) == [(True,)]


async def test_a_session_that_is_over_leaves_a_denial(client: ClientSession, rows: Rows) -> None:
    """The browser is only led to the login; that somebody came with it stands in the trail."""
    visitor = Visitor(client)
    await visitor.log_in()
    copied = dict(visitor.cookies)
    await visitor.log_out()
    visitor.cookies = copied
    assert (await visitor.get("/console/organizations/")).status == 303
    statement = "SELECT action, who, reason FROM ostatok_service.trail WHERE kind = 'denied'"

    async def is_there() -> bool:
        return bool(rows(statement))

    await eventually(is_there, "the denial")
    assert rows(statement) == [("console", "", "The session is over.")]


async def test_log_out_ends_one_session_or_all(client: ClientSession, rows: Rows) -> None:
    """A cookie that somebody has copied is good for nothing then."""
    here, there = Visitor(client), Visitor(client)
    await here.log_in()
    await there.log_in()
    copied = dict(here.cookies)
    page = await here.log_out()
    assert (page.status, page.headers["Location"]) == (303, LOGIN)
    assert "ostatok_session" not in here.cookies
    here.cookies = copied
    assert not await here.is_in()
    assert await there.is_in()
    await here.log_in()
    await there.log_out(everywhere="true")
    assert not await here.is_in()
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(0,)]
    said = rows("SELECT action, who FROM ostatok_service.trail WHERE action ~ '^log' ORDER BY id")
    assert said == [
        (action, "anna") for action in ("login", "login", "logout", "login", "logout everywhere")
    ]


async def test_a_stream_ends_with_its_session(visitor: Visitor, database: Settings) -> None:
    """What is looked at without asking goes on for nobody who was logged out."""
    await visitor.log_in()
    headers = {"Cookie": f"ostatok_session={visitor.cookies['ostatok_session']}"}
    async with visitor._client.get("/console/events", headers=headers) as stream:
        await stream.content.readline()
        users = users_of(database)
        assert users.end_sessions("anna", done("logout")) == 1
        users.close()
        await stream.content.read()  # Comes to an end.
        assert stream.content.at_eof()


async def test_who_may_no_more_is_out_at_once(client: ClientSession, database: Settings) -> None:
    """Disabled, with another password, or logged out by a command; a role changes in place."""
    users = users_of(database)
    visitor = Visitor(client)
    await visitor.log_in()
    users.set_password("anna", Passwords().hash("другой пароль, и длинный"), done("password"))
    assert not await visitor.is_in()
    assert (await visitor.log_in()).status == 401
    assert (await visitor.log_in(password="другой пароль, и длинный")).status == 303
    users.disable("anna", done("disable"))
    assert not await visitor.is_in()
    assert (await visitor.log_in(password="другой пароль, и длинный")).status == 401
    users.enable("anna", done("enable"))
    assert (await visitor.log_in(password="другой пароль, и длинный")).status == 303
    assert (await visitor.get("/trail/")).status == 200
    users.set_role("anna", Role.VIEWER, done("role"))
    assert (await visitor.get("/trail/")).status == 403
    users.close()


async def test_a_disabled_user_is_let_in_by_nothing(visitor: Visitor, rows: Rows) -> None:
    """Not by a session that is still there, and the trail does not say that he logged in."""
    await visitor.log_in()
    rows("UPDATE ostatok_service.console_user SET disabled_at = now() RETURNING 1")
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(1,)]
    assert not await visitor.is_in()
    assert (await visitor.log_in()).status == 401
    said = "SELECT count(*) FROM ostatok_service.trail WHERE action = 'login'"
    assert rows(said + " AND kind = 'done'") == [(1,)]


async def test_a_session_begins_by_the_password_that_was_checked(
    client: ClientSession, database: Settings, rows: Rows
) -> None:
    """Not when it was changed, or the user was disabled, between the check and that."""
    assert client
    pool = WritePool(database)
    store = Logins(database, pool)
    account = await store.account("anna")
    assert account is not None
    begin = partial(store.begin, account, client="", browser="", instead=None)
    assert await begin(b"1" * 32)
    rows("UPDATE ostatok_service.console_user SET disabled_at = now() RETURNING 1")
    assert not await begin(b"2" * 32)
    other = Passwords().hash("другой пароль, и длинный")
    values = "disabled_at = NULL, password_hash = %s RETURNING 1"
    rows(f"UPDATE ostatok_service.console_user SET {values}", other)
    assert not await begin(b"3" * 32)
    await store.replace_hash(account, account.password_hash)
    assert rows("SELECT password_hash FROM ostatok_service.console_user") == [(other,)]
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(1,)]
    await pool.close()


async def test_a_user_has_so_many_sessions(
    client: ClientSession, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes."""
    monkeypatch.setattr(logins, "SESSIONS_MAX", 2)
    visitors = [Visitor(client) for _ in range(3)]
    for one in visitors:
        await one.log_in()
    assert [await one.is_in() for one in visitors] == [False, True, True]
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(2,)]
