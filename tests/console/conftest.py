"""A console on a live system, and a browser that looks at it."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from support import browser as chromium
from support.console import ARGUMENTS, DESK, Console, Open
from support.foreign import produce
from support.journal import deliveries
from support.services import Services
from support.system import System, wait_until

from ostatok.setting_types import ALL_PARTS

OUTCOMES = """
SELECT (SELECT count(*) FROM payment) + (SELECT count(*) FROM duplicate)
     + (SELECT count(*) FROM dead_letter)
"""


@pytest.fixture(scope="module")
def console(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Give a system that has applied payments, duplicates, conflicts and dead letters."""
    settings = services.new_settings(http_serve=ALL_PARTS, http_operators=True)
    with System(settings, tmp_path_factory.mktemp("console")) as system:
        records = deliveries(random.Random(5), 300)
        produce(settings, records)
        system.start_stream()
        system.start_http()
        wait_until(lambda: system.sql(OUTCOMES) == [(len(records),)], "all is applied")
        yield Console(system, f"http://127.0.0.1:{settings.http_port}/console")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a real Chromium, headless.

    For each file anew: what drives it has a loop of its own running, beside which no test that is
    a coroutine can run.
    """
    program = chromium.find()
    if program is None:
        pytest.skip(chromium.ADVICE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield running
        running.close()


def _note(errors: list[str], page: Page, said: ConsoleMessage) -> None:
    """Keep an error; what a page says itself is none: that it was answered 404, or 401.

    Nor is that what it followed has ended with its session.
    """
    is_its_own = "status of 404" in said.text and said.location["url"] == page.url
    is_logged_out = "status of 401" in said.text
    if said.type == "error" and not (is_its_own or is_logged_out):
        errors.append(said.text)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open pages, each as a browser of its own; at the end none may have had an error."""
    contexts, errors = [], list[str]()

    def open_(address: str, **options: Any) -> Page:
        context = browser.new_context(
            **{"locale": "en-GB", "viewport": DESK, "color_scheme": "light", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", partial(_note, errors, page))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors
