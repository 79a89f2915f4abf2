"""Logging in to the console: who gets in, by what, and for how long."""

import hashlib

import pytest
from support.logins import ON, PASSWORD, Visitor, client, make_user, visitor
from support.pages import INN, start
from support.services import Rows
from support.webhooks import Serve

from ostatok.settings import Settings

LOGIN = "/console/login/"

__all__ = ["client", "visitor"]


async def test_every_page_leads_to_the_login_and_back(visitor: Visitor) -> None:
    """Also one that is not there; what belongs to no page is open to all."""
    for path in ("/", f"/organizations/{INN}/?from=2026-05-01", "/sessions/", "/nowhere/"):
        page = await visitor.get(path)
        assert page.status == 303
        assert page.headers["Location"].startswith(LOGIN + "?to=%2Fconsole%2F")
    page = await visitor.get(page.headers["Location"].removeprefix("/console"))
    assert (page.status, "Ostatok" in page.text, '<nav aria-label="Sec' in page.text) == (
        200,
        True,
        False,
    )
    assert 'name="to" value="/console/nowhere/"' in page.text
    page = await visitor.log_in(to="/console/conflicts/?inn=1")
    assert (page.status, page.headers["Location"]) == (303, "/console/conflicts/?inn=1")
    assert await visitor.is_in()
    page = await visitor.get("/login/?to=/console/recovery/")
    assert (page.status, page.headers["Location"]) == (303, "/console/recovery/")
    for path in ("/static/console.css", "/language/ru", "/theme/dark"):
        assert (await Visitor(visitor._client).get(path)).status in {200, 303}
        assert (await Visitor(visitor._client).get(path)).headers.get("Location") in {
            None,
            "/console/",
        }


async def test_a_stream_and_a_form_are_answered_401(visitor: Visitor, rows: Rows) -> None:
    """A script would take the login for what it asked for; and nothing is done."""
    assert (await visitor.get("/events")).status == 401
    page = await visitor.post("/dead-letters/", {"position": "7:1", "action": "redrive"})
    assert (page.status, "nothing was done" in page.text) == (401, True)
    assert (await visitor.post("/logout/", {})).status == 401
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", "остывший чай и троллейбус"),
        ("boris", PASSWORD),
        ("anna", PASSWORD + " " * 2_000),
        ("Anna", PASSWORD),
        ("anna", "' OR '1'='1"),
        ("anna", "\x00\ud7ff<script>"),
    ],
)
async def test_who_does_not_prove_it_is_not_let_in(
    visitor: Visitor, rows: Rows, name: str, password: str
) -> None:
    """And is not told which of the two was wrong."""
    page = await visitor.log_in(name, password)
    assert (page.status, "do not fit together" in page.text) == (401, True)
    assert "ostatok_session" not in visitor.cookies
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(0,)]


async def test_a_name_that_can_be_none_is_shown_as_it_was_typed(visitor: Visitor) -> None:
    """HTML in it is text, and SQL too."""
    for name in ("<script>alert(1)</script>", "'; DROP TABLE console_user; --", "a" * 100):
        page = await visitor.log_in(name)
        assert page.status == 400
        assert "<script>alert" not in page.text
    assert (await visitor.log_in("", "")).status == 400
    assert (await visitor.log_in()).status == 303


async def test_login_leads_within_the_console_alone(visitor: Visitor) -> None:
    """However the address is written."""
    for to in ("https://evil.example/", "//evil.example/console/", "/console/\\..", "javascript:1"):
        page = await visitor.get(f"/login/?to={to}")
        assert 'name="to" value="/console/"' in page.text
    for to in ("https://evil.example/", "//evil.example/console/", "/console/\r\nX: y"):
        assert (await visitor.log_in(to=to)).headers["Location"] == "/console/"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(visitor: Visitor) -> None:
    """By http for the console alone; it ends with the browser."""
    await visitor.log_in()
    (session,) = [one for one in visitor.set if one.startswith("ostatok_session=")]
    attributes = {one.strip() for one in session.split(";")[1:]}
    assert attributes == {"HttpOnly", "Path=/console", "SameSite=Lax"}
    assert len(visitor.cookies["ostatok_session"]) == 43  # 256 bits


async def test_by_https_the_cookie_is_of_https_alone(serve: Serve, database: Settings) -> None:
    """A proxy of ours says so; anyone else can say what he likes."""
    make_user(database)
    client = await start(serve, database, http_trusted_proxies="127.0.0.1", **ON)
    visitor = Visitor(client, **{"X-Forwarded-Proto": "https"})
    await visitor.log_in()
    assert all(one.startswith("__Host-ostatok_") for one in visitor.set)
    for one in visitor.set:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {
            part.strip() for part in one.split(";")
        }
    assert await visitor.is_in()
    # One that was planted by http, or by a neighbour, is not even looked at.
    visitor.cookies = {
        name.removeprefix("__Host-"): value for name, value in visitor.cookies.items()
    }
    assert not await visitor.is_in()
    stranger = Visitor(await start(serve, database, **ON), **{"X-Forwarded-Proto": "https"})
    await stranger.log_in()
    assert "ostatok_session" in stranger.cookies


async def test_a_login_has_a_secret_of_its_own(visitor: Visitor, rows: Rows) -> None:
    """One that was planted before is good for nothing, and the session of before ends."""
    planted = "A" * 43
    visitor.cookies["ostatok_session"] = planted
    await visitor.log_in()
    first = visitor.cookies["ostatok_session"]
    assert first != planted
    await visitor.log_in()
    assert visitor.cookies["ostatok_session"] not in {first, planted}
    assert rows("SELECT count(*) FROM ostatok_service.console_session") == [(1,)]
    for old in (planted, first):
        visitor.cookies["ostatok_session"] = old
        assert not await visitor.is_in()


async def test_nobody_logs_in_by_what_is_kept(visitor: Visitor, rows: Rows) -> None:
    """Neither the password nor the cookie is in any row."""
    await visitor.log_in()
    secret = visitor.cookies["ostatok_session"]
    everything = ""
    for table in ("console_user", "console_session", "login_failure", "trail"):
        everything += str(rows(f"SELECT t::text FROM ostatok_service.{table} AS t"))
    assert secret not in everything
    assert PASSWORD not in everything
    ((kept,),) = rows("SELECT encode(hash, 'hex') FROM ostatok_service.console_session")
    assert kept == hashlib.sha256(secret.encode()).hexdigest()
    for value in (kept, kept[:43], hashlib.sha256(secret.encode()).hexdigest()[::-1]):
        visitor.cookies["ostatok_session"] = value
        assert not await visitor.is_in()


async def test_without_postgres_nobody_is_let_in(visitor: Visitor, serve: Serve) -> None:
    """Neither by a session nor by a password; a page says what is the matter."""
    await visitor.log_in()
    nowhere = "postgresql://127.0.0.1:1/none"
    away = Visitor(
        await serve(
            http_serve="webhook,api,console",
            database_url=nowhere,
            database_timeout_seconds=0.5,
            http_authentication=True,
        )
    )
    away.cookies = dict(visitor.cookies)
    for page in (await away.get("/"), await away.get("/login/"), await away.log_in()):
        assert (page.status, "does not answer" in page.text) == (503, True)
    assert (await away.get("/events")).status == 503
    away.cookies.clear()
    assert (await away.get("/login/")).status == 200
