"""The console in a real browser, as an operator goes through it."""

import http.client
import json
import re
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.console import PHONE, Console, Open, serious
from support.journal import INNS
from support.payments import PARTITIONS, document
from support.signals import frozen, with_children
from support.system import wait_until

from ostatok.journal import partition_of
from ostatok.local.ports import free_port
from ostatok.setting_types import PREFIX

INN = INNS[0]


def pages(console: Console) -> list[str]:
    """An address of each kind of page."""
    sql = console.system.sql
    ((operation,),) = sql("SELECT operation_id::text FROM payment LIMIT 1")
    ((conflict,),) = sql(
        "SELECT partition || ':' || \"offset\" FROM duplicate WHERE outcome = 'conflict' LIMIT 1"
    )
    ((letter,),) = sql("SELECT partition || ':' || \"offset\" FROM dead_letter LIMIT 1")
    return [
        "/",
        "/organizations/",
        f"/organizations/{INN}/?at=2026-05-01T00:00",
        f"/operations/{operation}/",
        f"/operations/{uuid.UUID(int=7)}/",
        "/search/?q=nothing",
        "/conflicts/",
        f"/conflicts/{conflict}/",
        "/dead-letters/?state=all",
        f"/dead-letters/{letter}/",
        "/recovery/",
        "/nowhere/",
    ]


@pytest.mark.parametrize(
    ("language", "scheme", "viewport"),
    [("en-GB", "light", None), ("ru-RU", "dark", PHONE)],
    ids=["desk", "phone"],
)
def test_every_page_is_right_for_all_who_look_at_it(
    console: Console, open_page: Open, language: str, scheme: str, viewport: dict[str, int] | None
) -> None:
    """Axe finds nothing serious, and nothing is wider than the screen."""
    options = {"viewport": viewport} if viewport else {}
    page = open_page(f"{console.address}/", locale=language, color_scheme=scheme, **options)
    for path in pages(console):
        page.goto(console.address + path)
        assert not serious(page)
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path
        assert page.locator("html").get_attribute("lang") == language[:2]


def test_a_payments_story_is_found_from_the_overview(console: Console, open_page: Open) -> None:
    """Posted, searched for by its id: from the request id to the entry and the balance."""
    paid = document(payer_inn="7702070139", amount="12.34", document_number="№ 7/А")
    answer = console.system.post(json.dumps(paid).encode(), X_Request_ID="story-1")
    assert answer.status == 200
    page = open_page(f"{console.address}/", locale="ru-RU")
    page.get_by_role("searchbox").fill(paid["operation_id"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(paid["operation_id"])
    wait_until(lambda: _reloaded(page, "Остаток изменён"), "the payment is applied")
    text = page.locator("main").inner_text()
    position = answer.headers["Ostatok-Position"]
    for said in (
        "story-1",
        position,
        "12,34 ₽",
        "№ 7/А",
        "Запись 1 в журнале организации",
        "применена",
    ):
        assert said in text.replace("\u00a0", " "), said
    page.get_by_role("link", name="7702070139").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Организация 7702070139")


def _reloaded(page: Page, text: str) -> bool:
    page.reload()
    return text in page.locator("main").inner_text()


def test_the_overview_goes_on_by_itself(console: Console, open_page: Open) -> None:
    """What comes while it is looked at shows without a reload."""
    page = open_page(f"{console.address}/")
    records = page.locator(".cards dd").nth(4)
    before = _number(records.inner_text())
    for _ in range(3):
        console.system.post(json.dumps(document(payer_inn=INN)).encode())
    expect(records).to_have_text(re.compile(f"{before + 3:,}"))
    wait_until(lambda: _looks(page) > 2, "it is looked again and again")
    applied = page.get_by_text("applied", exact=True).locator("xpath=../../dd")
    expect(applied).not_to_have_text("0")


def test_what_waits_is_shown_by_partition(console: Console, open_page: Open) -> None:
    """How many records, and how long the oldest of them, while nobody applies them."""
    worker = console.system._processes[0]
    with frozen(with_children(worker.pid)):
        assert console.system.post(json.dumps(document(payer_inn=INN)).encode()).status == 200
        page = open_page(f"{console.address}/")
        row = page.locator("[data-block=partitions] tbody tr").nth(partition_of(INN, PARTITIONS))
        lag, oldest = row.locator("td").nth(3), row.locator("td").nth(4)
        expect(lag).to_have_text("1")
        expect(oldest).to_have_text(re.compile(r"^[1-9]\d* s$"))
    expect(lag).to_have_text("0")
    expect(oldest).to_have_text("—")


def test_a_link_that_has_the_focus_is_left_until_it_has_gone(
    console: Console, open_page: Open
) -> None:
    """What came meanwhile is shown then, and not forgotten."""
    page = open_page(f"{console.address}/")
    page.add_init_script(
        "window.EventSource = class { constructor() { window.events = this; } close() {} };"
    )
    page.reload()
    recent = page.locator("[data-block=recent]")
    for at in range(2):
        link = recent.get_by_role("link").nth(at)
        link.focus()
        page.evaluate("events.onmessage({ data: JSON.stringify({ recent: '<p>later</p>' }) })")
        expect(link).to_be_focused()
    page.get_by_role("searchbox").focus()
    expect(recent).to_have_text("later")


def test_a_tab_that_is_not_seen_gives_its_connection_back(
    console: Console, open_page: Open
) -> None:
    """And goes on when it is seen again, also when the browser had kept the page as it was left."""
    page = open_page(f"{console.address}/")
    page.add_init_script(
        "window.opened = 0; window.EventSource = class {"
        " constructor() { window.opened += 1; } close() { window.opened -= 1; } };"
        "Object.defineProperty(document, 'hidden', { get: () => window.unseen === true });"
    )
    page.reload()
    change = "document.dispatchEvent(new Event('visibilitychange'))"
    for script, opened in (
        ("0", 1),
        (f"window.unseen = true; {change}", 0),
        ("dispatchEvent(new Event('pageshow'))", 0),
        (f"window.unseen = false; {change}", 1),
        (change, 1),
        ("dispatchEvent(new Event('pagehide'))", 0),
        ("dispatchEvent(new Event('pageshow'))", 1),
    ):
        page.evaluate(script)
        assert page.evaluate("window.opened") == opened, script


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _looks(page: Page) -> int:
    return int(page.locator("#live").get_attribute("data-looks") or 0)


def test_an_organization_is_found_and_its_past_is_shown(
    console: Console, open_page: Open, tmp_path: Path
) -> None:
    """By the beginning of its INN; its log, a document, the balance of a moment, a statement."""
    ((number, amount),) = console.system.sql(
        "SELECT document_number, payment.amount FROM payment JOIN balance_log"
        " USING (inn, operation_id) WHERE inn = %s ORDER BY entry DESC LIMIT 1",
        INN,
    )
    page = open_page(f"{console.address}/organizations/")
    page.get_by_label("INN, or how it begins").fill(INN[:6])
    page.get_by_role("main").get_by_role("button", name="Find").click()
    page.get_by_role("main").get_by_role("link", name=INN).first.click()
    expect(page.locator("table")).to_contain_text("PAY-")
    page.get_by_role("textbox", name="Document number").fill(number)
    page.get_by_role("main").get_by_role("button", name="Find").click()
    expect(page.get_by_role("status")).to_contain_text(f"{amount:,.2f}")
    page.get_by_label(re.compile("^Moment")).fill("2026-04-28T00:30:00")
    page.get_by_role("button", name="Show the balance").click()
    expect(page.get_by_role("status")).to_contain_text("₽")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "statement.csv")
    ((entries,),) = console.system.sql("SELECT entries FROM organization WHERE inn = %s", INN)
    assert len((tmp_path / "statement.csv").read_text("utf-8").splitlines()) == entries + 1


def test_a_conflict_shows_what_differs(console: Console, open_page: Open) -> None:
    """Both values, and the body as it came, read from the topic."""
    page = open_page(f"{console.address}/conflicts/")
    page.locator("tbody tr a").first.click()
    expect(page.get_by_role("table")).to_contain_text("document_number")
    expect(page.locator("pre")).to_contain_text("operation_id")


def test_recovery_says_what_to_run_next(console: Console, open_page: Open) -> None:
    """First an audit; once it agrees, nothing."""
    page = open_page(f"{console.address}/recovery/")
    expect(page.locator("main")).to_contain_text("There was no audit yet")
    expect(page.locator("pre").first).to_have_text("ostatok audit")
    console.system.run("audit")
    page.reload()
    expect(page.locator("main")).to_contain_text("the last audit agrees")
    expect(page.get_by_role("table").first).to_contain_text("ostatok audit")


def test_a_keyboard_is_enough(console: Console, open_page: Open) -> None:
    """The first key leads to the content; then on through the sections to the search."""
    page = open_page(f"{console.address}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.get_by_role("searchbox").focus()
    page.keyboard.type(INN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Organization {INN}")


def test_language_and_theme_are_chosen_and_kept(console: Console, open_page: Open) -> None:
    """Whatever the browser prefers; and one comes back to the page where one was."""
    page = open_page(f"{console.address}/conflicts/?inn={INN}", locale="en-GB")
    page.get_by_role("link", name="Русский").click()
    expect(page).to_have_url(f"{console.address}/conflicts/?inn={INN}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Конфликты")
    page.get_by_role("link", name="тёмное").click()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("link", name="светлое").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.goto(f"{console.address}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Обзор")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_who_watches_does_not_hold_up_the_end(console: Console) -> None:
    """A process that is asked to end lets go of the overview's events at once, not after 5 s."""
    port = free_port()
    given = {f"{PREFIX}HTTP_PORT": str(port), f"{PREFIX}HTTP_DRAIN_SECONDS": "60"}
    process = console.system.start("http", log="ending.log", **given)
    console.system.wait_ready(port, process)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as watching:
        watching.request("GET", "/console/events")
        with watching.getresponse() as events:
            assert events.readline().startswith(b"data: ")
            process.terminate()
            assert process.wait(20) == 0
