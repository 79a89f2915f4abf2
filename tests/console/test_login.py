"""Logging in to the console in a real browser: a decision, and log-out everywhere."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.console import PHONE, Console, Open, serious
from support.foreign import produce
from support.logins import PASSWORD, make_user
from support.services import Services
from support.system import System, wait_until

from ostatok.setting_types import ALL_PARTS
from ostatok_db.users import Role


@pytest.fixture(scope="module")
def console(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Give a system whose console asks for a login, with two processes, and a dead letter."""
    settings = services.new_settings(http_serve=ALL_PARTS, http_authentication=True)
    with System(settings, tmp_path_factory.mktemp("login")) as system:
        make_user(settings)
        make_user(settings, "boris", Role.VIEWER)
        produce(settings, [{"key": None, "value": b"no JSON"}])
        system.start_stream()
        system.start_http(workers=2)
        dead = "SELECT count(*) FROM dead_letter"
        wait_until(lambda: system.sql(dead) == [(1,)], "it is applied")
        yield Console(system, f"http://127.0.0.1:{settings.http_port}/console")


def log_in(page: Page, name: str, label: str = "Log out") -> None:
    """Fill in the form with keys alone: the focus is where it has to be."""
    expect(page.locator("[name=name]")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=label)).to_be_visible()


@pytest.mark.parametrize(
    ("language", "options"),
    [
        ("en-GB", {}),
        ("ru-RU", {"color_scheme": "dark", "viewport": PHONE}),
        ("ru-RU", {"java_script_enabled": False}),
    ],
    ids=["desk", "phone", "without-script"],
)
def test_the_pages_of_a_login_are_right_for_all(
    console: Console, open_page: Open, language: str, options: dict[str, Any]
) -> None:
    """In both languages, on a phone in the dark, and where no script runs."""
    page = open_page(f"{console.address}/recovery/", locale=language, **options)
    has_script = options.get("java_script_enabled", True)
    log_out = "Log out" if language == "en-GB" else "Выйти"
    expect(page.get_by_role("button")).to_have_count(1)
    assert not (has_script and serious(page))
    log_in(page, "anna", log_out)
    assert page.url == f"{console.address}/recovery/"
    for path in ("/sessions/", "/trail/", "/recovery/"):
        page.goto(console.address + path)
        if has_script:
            assert not serious(page)
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, path
    page.get_by_role("button", name=log_out).click()
    assert page.url == f"{console.address}/login/"


def test_one_decides_and_is_logged_out_from_elsewhere(console: Console, open_page: Open) -> None:
    """The overview that stands open there ends, and leads to the login by itself."""
    watching = open_page(f"{console.address}/")
    log_in(watching, "anna")
    expect(watching.locator("#live")).to_have_attribute("data-looks", "2", timeout=20_000)
    page = open_page(f"{console.address}/dead-letters/")
    log_in(page, "anna")
    page.get_by_role("checkbox").last.check()
    page.get_by_label("Why nothing is to be made of it").fill("a test")
    page.get_by_role("radio", name="Discard").check()
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("status")).to_contain_text("discarded")
    decided = "SELECT decided_by, reason FROM ostatok_service.dead_letter_decision"
    assert console.system.sql(decided) == [("anna", "a test")]
    page.get_by_role("link", name="anna").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Log out everywhere").click()
    expect(watching.get_by_label("Password")).to_be_visible(timeout=30_000)
    log_in(watching, "anna")
    assert watching.url == f"{console.address}/"
    watching.get_by_role("link", name="Trail").click()
    expect(watching.locator("tbody")).to_contain_text("logout everywhere")


def test_a_viewer_has_no_form(console: Console, open_page: Open) -> None:
    """He sees the same, and is told who can decide."""
    page = open_page(f"{console.address}/dead-letters/?state=all", locale="ru-RU")
    page.get_by_label("Имя").fill("boris")
    page.get_by_label("Пароль").fill("не тот пароль, что нужен")
    with page.expect_response(lambda answer: answer.status == 401):
        page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Неверное имя или пароль")
    assert not serious(page)
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Решать может оператор")
    assert page.get_by_role("checkbox").count() == 0
    assert page.get_by_role("link", name="Журнал аудита").count() == 0
