"""The console without a browser: what it answers, and to whom it does not."""

import uuid
from typing import Any

import pytest
from aiohttp import ClientSession
from support.model import INNS
from support.operators import three_letters
from support.payments import batch, entry, payment
from support.services import Rows
from support.webhooks import RecordingJournal, Serve, of_database

from ostatok.errors import SettingsError
from ostatok.settings import Settings, load
from ostatok_db.ledger import Ledger
from ostatok_http.console import letters, site

INN = INNS[0]
PAID = payment(inn=INN)
FORM = {"by": "Дежурный", "action": "discard", "because": "a test", "position": "7:2"}
HTML = "text/html"


@pytest.fixture
async def client(serve: Serve, database: Settings, ledger: Ledger) -> ClientSession:
    """Give a client of a console on a ledger with a payment and three dead letters."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    await ledger.apply(batch(entry(PAID, 10, partition=3), first=0))
    return await start(serve, database)


async def start(serve: Serve, database: Settings, **settings: Any) -> ClientSession:
    """Start a console."""
    on = {"http_console": True, "http_operators": True}
    given = {**of_database(database), "database_url": database.database_url, **on, **settings}
    return await serve(**given)


async def get(client: ClientSession, path: str, **headers: str) -> tuple[int, str, Any]:
    """Ask for a page; gives status, text and headers."""
    async with client.get("/console" + path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


async def post(client: ClientSession, form: Any, **headers: str) -> tuple[int, str]:
    """Post the form of a decision as our own page does."""
    given = {"Sec-Fetch-Site": "same-origin", **headers}
    async with client.post("/console/dead-letters/", data=form, headers=given) as answer:
        return answer.status, await answer.text()


async def test_there_is_none_unless_a_setting_says_so(serve: Serve, database: Settings) -> None:
    """It shows all organizations to whoever reaches the port."""
    status, _, _ = await get(await start(serve, database, http_console=False), "/")
    assert status == 404


async def test_every_page_may_run_our_script_alone(client: ClientSession) -> None:
    """No inline script, no other site's, in no frame, in no cache."""
    for path in ("/", "/nothing/", "/dead-letters/"):
        _, text, headers = await get(client, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert " style=" not in text
        assert " onclick=" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


async def test_its_files_are_kept_by_the_browser_for_as_long_as_they_are_the_same(
    client: ClientSession,
) -> None:
    """By their address, which changes with them."""
    status, _, headers = await get(client, site._version("console.css").removeprefix("/console"))
    assert (status, headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in headers["Cache-Control"]
    _, _, headers = await get(client, "/static/console.js?v=old")
    assert headers["Cache-Control"] == "no-cache"
    assert (await get(client, "/static/..%2Fsite.py"))[0] == 404


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        (PAID.operation_id.upper(), f"/operations/{PAID.operation_id}/"),
        (INN, f"/organizations/{INN}/"),
        (INN[:4], f"/organizations/?prefix={INN[:4]}"),
        ("9999999999", "/organizations/?prefix=9999999999"),
        ("3:10", f"/operations/{PAID.operation_id}/"),
        ("7:2", "/dead-letters/7%3A2/"),
    ],
)
async def test_a_search_leads_to_what_is_meant(
    client: ClientSession, asked: str, leads_to: str
) -> None:
    """An operation, an organization or how its INN begins, a record of any outcome."""
    status, _, headers = await get(client, f"/search/?q={asked}")
    assert (status, headers["Location"]) == (303, "/console" + leads_to)


async def test_empty_pages_say_what_to_do_first(serve: Serve, database: Settings) -> None:
    """A bank that posts; and what an empty list means."""
    client = await start(serve, database)
    assert ".venv/bin/ostatok simulate" in (await get(client, "/organizations/"))[1]
    for path, said in (
        ("/organizations/?prefix=77", "begins with 77 has paid yet"),
        ("/conflicts/", "There is no conflict."),
        ("/dead-letters/", "There are none."),
        ("/recovery/", "No recovery command was run yet."),
    ):
        status, text, _ = await get(client, path)
        assert (status, said in text) == (200, True), path


async def test_a_search_for_what_is_nowhere_says_so(client: ClientSession) -> None:
    """With what can be found; and what was typed is no markup."""
    status, text, _ = await get(client, "/search/?q=<script>alert(1)</script>")
    assert status == 404
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert (await get(client, "/search/?q=3:11"))[0] == 404
    assert (await get(client, "/search/"))[0] == 200


async def test_what_is_not_there_is_a_page_too(client: ClientSession) -> None:
    """With the status, and a way back."""
    for path in (
        "/nothing/",
        "/organizations/9999999999/",
        "/organizations/abc/",
        "/operations/abc/",
        f"/operations/{uuid.uuid4()}/",
        "/conflicts/3:10/",
        "/conflicts/x/",
        "/dead-letters/3:10/",
        "/dead-letters/x/",
        "/language/de",
        "/theme/pink",
    ):
        status, text, headers = await get(client, path)
        assert (path, status, headers["Content-Type"]) == (path, 404, "text/html; charset=utf-8")
        assert "<html" in text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/organizations/?prefix=12x", "prefix"),
        ("/organizations/?after=%D9%A3", "after"),
        ("/organizations/?page=2", "page"),
        (f"/organizations/{INN}/?at=yesterday", "at"),
        (f"/organizations/{INN}/?at=0001-01-01T00:00", "at"),
        (f"/organizations/{INN}/?cursor=0", "cursor"),
        ("/conflicts/?cursor=1", "cursor"),
        ("/conflicts/?inn=x", "inn"),
        ("/dead-letters/?state=some", "state"),
        ("/dead-letters/?operation=1", "operation"),
        ("/recovery/?x=1", "x"),
    ],
)
async def test_a_wrong_parameter_is_named(client: ClientSession, path: str, field: str) -> None:
    """On a page of its own."""
    status, text, _ = await get(client, path)
    assert status == 400
    assert f'<span class="mono">{field}</span>' in text


async def test_errors_are_shown_and_not_swallowed(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres is away: 503, in the language of the browser. A bug of ours: 500, and its id."""
    nowhere = load(database_url="postgresql://127.0.0.1:1/none", database_timeout_seconds=0.5)
    console = await serve(**of_database(nowhere), http_console=True)
    status, text, _ = await get(console, "/organizations/", **{"Accept-Language": "ru"})
    assert (status, "Сейчас не отвечает" in text) == (503, True)
    status, text, _ = await get(console, "/")
    assert (status, 'role="alert"' in text) == (200, True)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(letters, "Filter", fail)
    status, text, headers = await get(console, "/dead-letters/")
    assert (status, headers["X-Request-ID"] in text) == (500, True)


async def test_a_decision_is_taken_from_our_own_page_alone(
    client: ClientSession, rows: Rows
) -> None:
    """Not from another site's, whatever of the two headers the browser sends."""
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await post(client, FORM, **headers))[0] == 403
    async with client.post("/console/dead-letters/", data=FORM) as answer:
        assert answer.status == 403
    for origin, status in (("https://evil.example", 403), ("null", 403)):
        async with client.post(
            "/console/dead-letters/", data=FORM, headers={"Origin": origin}
        ) as answer:
            assert answer.status == status
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]
    own = str(client._base_url)
    async with client.post(
        "/console/dead-letters/", data=FORM, headers={"Origin": own.rstrip("/")}
    ) as answer:
        assert answer.status == 200
    decided = rows("SELECT decided_by, reason FROM ostatok_service.dead_letter_decision")
    assert decided == [("Дежурный", "a test")]


async def test_without_operators_it_can_be_looked_at_alone(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """No form to decide, and nobody to take one that was made by hand."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    client = await start(serve, database, http_operators=False)
    _, text, _ = await get(client, "/dead-letters/7:2/")
    assert "<textarea" not in text
    assert "OSTATOK_HTTP_OPERATORS" in text
    assert (await post(client, FORM))[0] == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"by": ""}, "by"),
        ({"by": "x" * 101}, "by"),
        ({"action": "burn"}, "action"),
        ({"because": ""}, "because"),
        ({"other": "x"}, "other"),
        ({"position": ""}, None),
        ({"action": "correct", "body": "{"}, None),
    ],
)
async def test_a_wrong_form_decides_nothing(
    client: ClientSession, rows: Rows, changes: dict[str, str], field: str | None
) -> None:
    """Its fields are named; what fails of one letter is said beside it."""
    status, text = await post(client, {**FORM, **changes})
    assert status == (400 if field else 200)
    if field:
        assert f'<span class="mono">{field}</span>' in text
    else:
        assert "not done:" in text
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]


async def test_many_are_decided_about_one_after_another(client: ClientSession, rows: Rows) -> None:
    """What can't be done of one does not keep the others, and is said."""
    form = [*FORM.items(), ("position", "7:1"), ("position", "7:9"), ("position", "7:2")]
    status, text = await post(client, form)
    assert (status, text.count("not done:")) == (200, 2)
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(2,)]
    many = [*FORM.items(), *[("position", "7:1")] * letters.BULK_MAX]
    assert (await post(client, many))[0] == 400


async def test_one_is_published_again_from_here(
    serve: Serve, database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """The same bytes go to the journal, and both places are named."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    journal = RecordingJournal()
    client = await start(serve, database, journal=journal)
    status, text = await post(client, {"action": "redrive", "by": "me", "position": "7:1"})
    assert (status, "redriven" in text) == (200, True)
    assert len(journal.records) == 1
    assert rows("SELECT new_offset IS NOT NULL FROM ostatok_service.dead_letter_decision") == [
        (True,)
    ]


async def test_a_choice_leads_back_within_the_console_alone(client: ClientSession) -> None:
    """Not to another site, whatever the address says."""
    for to, leads_to in (
        ("/console/conflicts/%3Finn%3D1", "/console/conflicts/?inn=1"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/%5C..", "/console/"),
        ("/console/%0d%0aX:%20y", "/console/"),
    ):
        status, _, headers = await get(client, f"/language/ru?to={to}")
        assert (status, headers["Location"]) == (303, leads_to)
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Lax" in headers["Set-Cookie"]


def test_a_zone_that_is_none_is_refused_at_the_start() -> None:
    """With the name of the setting."""
    with pytest.raises(SettingsError, match="OSTATOK_CONSOLE_TIMEZONE: must be a zone"):
        load(console_timezone="Moscow/Europe")
    assert load(console_timezone="Asia/Yekaterinburg").console_timezone
