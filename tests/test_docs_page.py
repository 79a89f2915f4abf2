"""The page of the API in a real browser: it shows the document, tries it, and asks nobody else."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright
from support.system import System

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
STEP_MS_MAX = 20_000


@pytest.fixture
def page() -> Iterator[Page]:
    """Open a page in a Chromium; it may say nothing wrong until its end."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("There is no Chromium: apt-get install chromium.")
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(STEP_MS_MAX)
        # A policy that is broken is an error on the console, too.
        opened.on(
            "console", lambda said: errors.append(said.text) if said.type == "error" else None
        )
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        browser.close()
    assert not errors


def test_the_document_can_be_read_and_tried(system: System, page: Page) -> None:
    """Every endpoint is shown and opens; the example of the webhook, sent from there, is taken."""
    service = f"http://127.0.0.1:{system.settings.http_port}"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service}/api/docs")
    page.wait_for_selector(".opblock")
    shown = page.locator(".opblock-summary-control")
    assert shown.count() == 9
    for number in range(shown.count()):
        shown.nth(number).click()
    webhook = page.locator("#operations-bank-webhook")
    webhook.locator(".try-out__btn").click()
    webhook.locator(".execute").click()
    answer = webhook.locator(".live-responses-table .response").first
    assert "200" in answer.inner_text()
    assert "Payment processed successfully" in answer.inner_text()
    assert "ostatok-position" in answer.inner_text()
    assert all(url.startswith((service, "data:")) for url in asked)
    assert f"{service}/api/webhook/bank/" in asked
