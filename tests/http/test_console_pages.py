"""The console without a browser: what it answers, and to whom it does not."""

import re
import uuid
from collections.abc import Iterable

import pytest
from aiohttp import ClientSession
from support.operators import three_letters
from support.pages import INN, PAID, get, start
from support.payments import batch, entry, payment
from support.webhooks import Serve, TheTopic, of_database

from ostatok.errors import JournalUnavailable, LedgerUnavailable, SettingsError
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings, load
from ostatok.topic import Range
from ostatok_db import browsing, dead_letters
from ostatok_db.browsing import Browser
from ostatok_db.ledger import Ledger
from ostatok_http.console import letters, organizations, site


class NoTopic(TheTopic):
    """Kafka is away."""

    async def ranges_async(self, _partitions: Iterable[int]) -> dict[int, Range]:
        """Say nothing of what it holds."""
        raise JournalUnavailable


async def test_there_is_none_unless_a_setting_says_so(serve: Serve, database: Settings) -> None:
    """It shows all organizations to whoever reaches the port."""
    status, _, _ = await get(await start(serve, database, http_serve="webhook,api"), "/")
    assert status == 404


async def test_every_page_may_run_our_script_alone(console: ClientSession) -> None:
    """No inline script, no other site's, in no frame, in no cache."""
    for path in ("/", "/nothing/", "/dead-letters/"):
        _, text, headers = await get(console, path)
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
    console: ClientSession,
) -> None:
    """By their address, which changes with them."""
    status, _, headers = await get(console, site._version("console.css").removeprefix("/console"))
    assert (status, headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in headers["Cache-Control"]
    _, _, headers = await get(console, "/static/console.js?v=old")
    assert headers["Cache-Control"] == "no-cache"
    assert (await get(console, "/static/..%2Fsite.py"))[0] == 404


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
    console: ClientSession, asked: str, leads_to: str
) -> None:
    """An operation, an organization or how its INN begins, a record of any outcome."""
    status, _, headers = await get(console, f"/search/?q={asked}")
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


async def test_a_search_for_what_is_nowhere_says_so(console: ClientSession) -> None:
    """With what can be found; and what was typed is no markup."""
    status, text, _ = await get(console, "/search/?q=<script>alert(1)</script>")
    assert status == 404
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert (await get(console, "/search/?q=3:11"))[0] == 404
    assert (await get(console, "/search/"))[0] == 200


async def test_what_is_not_there_is_a_page_too(console: ClientSession) -> None:
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
        status, text, headers = await get(console, path)
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
        ("/dead-letters/?cursor=7:2", "cursor"),
        ("/conflicts/?inn=x", "inn"),
        ("/dead-letters/?state=some", "state"),
        ("/dead-letters/?operation=1", "operation"),
        ("/recovery/?x=1", "x"),
        (f"/organizations/{INN}/?from=2026-05-02&to=2026-05-01", "to"),
        ("/conflicts/?from=2026-05-02&to=2026-05-01", "to"),
        ("/dead-letters/?from=2026-05-02&to=2026-05-01", "to"),
    ],
)
async def test_a_wrong_parameter_is_named(console: ClientSession, path: str, field: str) -> None:
    """On a page of its own."""
    status, text, _ = await get(console, path)
    assert status == 400
    assert f'<span class="mono">{field}</span>' in text


async def test_errors_are_shown_and_not_swallowed(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres is away: 503, in the language of the browser. A bug of ours: 500, and its id."""
    nowhere = load(database_url="postgresql://127.0.0.1:1/none", database_timeout_seconds=0.5)
    console = await serve(**of_database(nowhere), http_serve=ALL_PARTS)
    status, text, _ = await get(console, "/organizations/", **{"Accept-Language": "ru"})
    assert (status, "Сейчас не отвечает" in text) == (503, True)
    status, text, _ = await get(console, "/")
    assert (status, 'role="alert"' in text) == (200, True)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(letters, "Filter", fail)
    status, text, headers = await get(console, "/dead-letters/")
    assert (status, headers["X-Request-ID"] in text) == (500, True)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("LOCALHOST:8000", 200),
        ("192.0.2.7", 200),
        ("[::1]:8000", 200),
        ("pay.example:443", 200),
    ],
)
async def test_it_is_reached_by_a_known_name_alone(
    serve: Serve, database: Settings, host: str, status: int
) -> None:
    """Another site's page that has its own name lead here gets nothing, from the API neither."""
    client = await start(serve, database, http_names="other.example, Pay.Example")
    assert (await get(client, "/organizations/", Host=host))[0] == status
    async with client.get("/api/dead-letters/", headers={"Host": host}) as answer:
        assert answer.status == status
    async with client.get("/healthz", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_what_nobody_could_look_up_is_not_said_to_be_nowhere(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """An operation that may be in what is not applied yet is 503, and not "never came"."""
    await ledger.apply(batch(entry(PAID, 10, partition=3), first=0))
    client = await start(serve, database, view=NoTopic())
    status, text, _ = await get(client, f"/operations/{uuid.uuid4()}/")
    assert (status, "not known yet" in text, "never came" in text) == (503, True, False)
    assert (await get(client, f"/operations/{PAID.operation_id}/"))[0] == 200


async def test_a_snapshot_that_fails_says_so(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for ever that it is being taken."""

    async def fail(_: Browser) -> None:
        raise LedgerUnavailable("It takes too long.")

    monkeypatch.setattr(Browser, "ranking", fail)
    client = await start(serve, database)
    assert "It takes too long." in (await get(client, "/organizations/"))[1]


async def test_a_list_does_not_end_with_a_full_hand(
    serve: Serve, database: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more payments with a document number than are shown the others are found by looking on."""
    monkeypatch.setattr(browsing, "DOCUMENTS_MAX", 2)
    monkeypatch.setattr(organizations, "DOCUMENTS_MAX", 2)
    await ledger.apply(batch(*[entry(payment(inn=INN), at, partition=3) for at in range(3)]))
    client = await start(serve, database)
    path = f"/organizations/{INN}/?document=PAY-328"
    _, text, _ = await get(client, path)
    assert ("№ 3," in text, "№ 2," in text, "№ 1," in text) == (True, True, False)
    assert "before=1" in text
    assert "№ 1," in (await get(client, f"{path}&before=1"))[1]


async def test_a_choice_leads_back_within_the_console_alone(console: ClientSession) -> None:
    """Not to another site, whatever the address says."""
    for to, leads_to in (
        ("/console/conflicts/%3Finn%3D1", "/console/conflicts/?inn=1"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/%5C..", "/console/"),
        ("/console/%0d%0aX:%20y", "/console/"),
    ):
        status, _, headers = await get(console, f"/language/ru?to={to}")
        assert (status, headers["Location"]) == (303, leads_to)
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Lax" in headers["Set-Cookie"]


def test_a_zone_that_is_none_is_refused_at_the_start() -> None:
    """With the name of the setting."""
    with pytest.raises(SettingsError, match="OSTATOK_CONSOLE_TIMEZONE: must be a zone"):
        load(console_timezone="Moscow/Europe")
    assert load(console_timezone="Asia/Yekaterinburg").console_timezone


async def test_a_page_of_dead_letters_looks_through_so_many(
    serve: Serve, database: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be empty, and the next one is not; by the API too."""
    monkeypatch.setattr(dead_letters, "LOOKS_MAX", 2)
    await ledger.apply(batch(dead=three_letters(), first=0))
    client = await start(serve, database)
    _, text, _ = await get(client, "/dead-letters/?reason=is+not+json")
    assert (">7:2<" in text, ">7:3<" in text) == (True, False)
    (cursor,) = re.findall(r"cursor=([^\"&]+)", text)
    assert cursor.endswith("~7%3A2")
    _, text, _ = await get(client, "/dead-letters/?reason=no+such")
    assert "there are more behind them" in text
    _, text, _ = await get(client, f"/dead-letters/?reason=is+not+json&cursor={cursor}")
    assert (">7:3<" in text, "cursor=" in text) == (True, False)
    async with client.get("/api/dead-letters/?reason=no+such") as answer:
        assert await answer.json() == {"dead_letters": [], "next": "7:2"}
