"""What who is logged in to the console may do, and from which page."""

import asyncio

import pytest
from aiohttp import ClientSession
from support.logins import ON, Visitor, make_user
from support.operators import three_letters
from support.pages import INN, PAID, start
from support.payments import batch, entry
from support.services import Rows
from support.system import wait_until
from support.webhooks import Serve

from ostatok.settings import Settings
from ostatok_db.ledger import Ledger
from ostatok_db.users import Role

FORM = {"action": "discard", "because": "a test", "position": "7:2"}
DECIDED = "SELECT decided_by, reason FROM ostatok_service.dead_letter_decision"
DENIED = "SELECT action, who, reason FROM ostatok_service.trail WHERE kind = 'denied' ORDER BY id"


@pytest.fixture
async def client(serve: Serve, database: Settings, ledger: Ledger) -> ClientSession:
    """Give a client of a console with an operator, a viewer, a payment and three dead letters."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    await ledger.apply(batch(entry(PAID, 10, partition=3), first=0))
    make_user(database)
    make_user(database, "boris", Role.VIEWER)
    return await start(serve, database, **ON)


async def entered(client: ClientSession, name: str) -> Visitor:
    """Give the browser of somebody who is logged in."""
    visitor = Visitor(client)
    assert (await visitor.log_in(name)).status == 303
    return visitor


async def test_an_operator_decides_by_his_own_name(client: ClientSession, rows: Rows) -> None:
    """Which no field asks for, and none can say otherwise; no other setting is needed."""
    visitor = await entered(client, "anna")
    page = await visitor.get("/dead-letters/7:2/")
    assert (page.status, 'name="by"' in page.text) == (200, False)
    assert 'name="by"' not in (await visitor.get("/dead-letters/")).text
    refused = await visitor.post("/dead-letters/", {**FORM, "csrf": page.csrf, "by": "boris"})
    assert refused.status == 400
    done = await visitor.post("/dead-letters/", {**FORM, "csrf": page.csrf})
    assert (done.status, "7:2" in done.text) == (200, True)
    assert rows(DECIDED) == [("anna", "a test")]
    assert "ostatok_who" not in visitor.cookies
    said = "SELECT action, who, about FROM ostatok_service.trail WHERE action = 'discard'"
    assert rows(said) == [("discard", "anna", "7:2")]


async def test_a_viewer_sees_and_decides_nothing(client: ClientSession, rows: Rows) -> None:
    """There is no form, and one that was made by hand is refused; nor does he see the trail."""
    visitor = await entered(client, "boris")
    for path in ("/dead-letters/", "/dead-letters/7:2/", f"/organizations/{INN}/", "/recovery/"):
        page = await visitor.get(path)
        assert (page.status, 'name="action"' in page.text) == (200, False)
        assert "/console/trail/" not in page.text
    page = await visitor.post("/dead-letters/", {**FORM, "csrf": page.csrf})
    assert (page.status, "You may not do this" in page.text) == (403, True)
    assert (await visitor.get("/trail/")).status == 403
    assert rows(DECIDED) == []


@pytest.mark.parametrize("token", ["none", "empty", "wrong", "twice", "other"])
async def test_a_form_is_of_its_own_session(client: ClientSession, rows: Rows, token: str) -> None:
    """Without its token, with a wrong one, or with another session's nothing is done."""
    visitor, other = await entered(client, "anna"), await entered(client, "anna")
    own = (await visitor.get("/dead-letters/")).csrf
    foreign = (await other.get("/dead-letters/")).csrf
    assert own != foreign
    csrf = {"none": [], "empty": [""], "wrong": ["A" * 43], "twice": [own, own], "other": [foreign]}
    for path, form in (("/dead-letters/", FORM), ("/logout/", {"everywhere": "true"})):
        posted = [*form.items(), *[("csrf", one) for one in csrf[token]]]
        page = await visitor.post(path, posted)
        assert (page.status, "did not come from this site" in page.text) == (403, True)
    assert await visitor.is_in()
    assert rows(DECIDED) == []


async def test_a_form_is_of_this_site(client: ClientSession, rows: Rows) -> None:
    """Another site's is refused even with the right token; so are its login and its logout."""
    visitor = await entered(client, "anna")
    csrf = (await visitor.get("/dead-letters/")).csrf
    for site in ("cross-site", "same-site", "none"):
        given = {"Sec-Fetch-Site": site}
        for path, form in (
            ("/dead-letters/", FORM),
            ("/logout/", {}),
            ("/login/", {"name": "anna", "password": "x"}),
        ):
            assert (await visitor.post(path, {**form, "csrf": csrf}, **given)).status == 403
    assert await visitor.is_in()
    assert rows(DECIDED) == []
    assert rows("SELECT sum(failures)::int FROM ostatok_service.login_failure") == [(0,)]


async def test_the_head_of_each_page_says_who_one_is(client: ClientSession) -> None:
    """And lets him out; the page of his sessions shows each of them."""
    visitor = await entered(client, "boris")
    visitor.headers["User-Agent"] = "<b>a browser</b>"
    await visitor.log_in("boris")
    page = await visitor.get("/")
    assert ">boris</a>, viewer" in page.text
    assert 'action="/console/logout/"' in page.text
    page = await visitor.get("/sessions/", **{"Accept-Language": "ru"})
    assert "&lt;b&gt;a browser&lt;/b&gt;" in page.text
    assert (page.text.count("127.0.0.1"), "наблюдатель" in page.text) == (1, True)


async def test_a_statement_needs_no_token(client: ClientSession) -> None:
    """Who is logged in gets it from the console's own address, and nobody else."""
    visitor = await entered(client, "boris")
    page = await visitor.get(f"/organizations/{INN}/")
    path = f"/organizations/{INN}/statement/?format=csv"
    assert f"/console{path}" in page.text
    page = await visitor.get(path)
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (200, "text/csv")
    assert PAID.operation_id in page.text
    assert (await Visitor(client).get(path)).status == 303


async def test_operators_see_what_was_denied_and_done(client: ClientSession, rows: Rows) -> None:
    """The latest first, page by page, of one kind or person; what came from outside is text."""
    rows(
        "INSERT INTO ostatok_service.trail (kind, action, who, client, about, reason, request_id,"
        " times, first_at, last_at) SELECT 'denied', 'balance', '<i>' || n, '10.0.0.1', '', 'none',"
        " 'r', 3, now(), now() FROM generate_series(1, 60) AS n RETURNING 1"
    )
    visitor = await entered(client, "anna")
    page = await visitor.get("/trail/")
    assert (page.status, "<i>" in page.text, "&lt;i&gt;60" in page.text) == (200, False, True)
    assert "login" in page.text
    assert "&lt;i&gt;11<" not in page.text
    (following,) = [part for part in page.text.split('"') if part.startswith("?cursor=")]
    assert "&lt;i&gt;11<" in (await visitor.get("/trail/" + following)).text
    page = await visitor.get("/trail/?kind=done&who=ANN&action=&from=&to=")
    assert ("login" in page.text, "balance" in page.text) == (True, False)
    assert (await visitor.get("/trail/?kind=other")).status == 400


async def test_denials_are_in_the_trail(
    serve: Serve, database: Settings, rows: Rows, ledger: Ledger
) -> None:
    """A wrong password, a form without its token, and what a role does not allow.

    Of a name that nobody has it is not said what was typed: it may have been a password.
    """
    make_user(database, "boris", Role.VIEWER)
    client = await start(serve, database, **ON)
    visitor = await entered(client, "boris")
    await Visitor(client).log_in("boris", "a wrong one of his")
    await Visitor(client).log_in("hunter2hunter2")
    await visitor.post("/dead-letters/", FORM)
    await visitor.get("/trail/")
    expected = {
        ("console", "", "A wrong password for boris."),
        ("console", "", "Nobody has that name."),
        ("console", "boris", "The form has not the token of the session."),
        ("console", "boris", "Who asks may not do this."),
    }
    await asyncio.to_thread(wait_until, lambda: set(rows(DENIED)) == expected, "they are written")
    assert "hunter2" not in str(rows("SELECT t::text FROM ostatok_service.trail AS t"))
