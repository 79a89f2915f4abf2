"""The console's pictures for the documents: ``make pictures``, on a system with a bank at it."""

import json
import random
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings
from support import browser as chromium
from support.console import ARGUMENTS, DESK, PHONE
from support.foreign import produce
from support.journal import deliveries
from support.payments import document
from support.services import Services, running_services
from support.system import System, wait_until

FOLDER = Path(__file__).parents[2] / "docs" / "console"
LOOKS = 12
"""Looks of the overview before its picture is taken, so that its charts show something."""
INN = "7707083893"
LATELY = "SELECT count(*) FROM balance_log WHERE created_at > now() - interval '1 hour'"


def main() -> int:
    """Take all pictures anew."""
    program = chromium.find()
    if program is None:
        print(chromium.ADVICE, file=sys.stderr)  # noqa: T201
        return 1
    FOLDER.mkdir(exist_ok=True)
    with (
        running_services() as services,
        tempfile.TemporaryDirectory() as folder,
        System(_settings(services), Path(folder)) as one,
        sync_playwright() as playwright,
    ):
        one.start_stream()
        one.start_http()
        produce(one.settings, deliveries(random.Random(7), 400))
        one.run("audit")
        url = f"http://127.0.0.1:{one.settings.http_port}"
        options = ("--webhooks", "12000", "--rate", "150", "--organizations", "40", "--seed", "7")
        one.start("simulate", "--url", url, *options, log="simulate.log")
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        _take_all(one, browser, f"{url}/console")
        browser.close()
    return 0


def _settings(services: Services) -> Settings:
    return services.new_settings(http_serve=ALL_PARTS, http_operators=True)


def _take_all(system: System, browser: Browser, address: str) -> None:
    paid = document(payer_inn=INN, amount="48250.50", document_number="ПП-1207")
    system.post(json.dumps(paid).encode(), X_Request_ID="bank-2026-11-26-0001")
    ((conflict,),) = system.sql(
        "SELECT partition || ':' || \"offset\" FROM duplicate WHERE outcome = 'conflict' LIMIT 1"
    )
    wait_until(lambda: system.sql(LATELY)[0][0] > 500, "the bank has posted for a while")
    ((busiest,),) = system.sql(
        "SELECT inn FROM balance_log WHERE created_at > now() - interval '1 hour' "
        "GROUP BY inn ORDER BY count(*) DESC LIMIT 1"
    )
    wait_until(
        lambda: bool(
            system.sql("SELECT 1 FROM payment WHERE operation_id = %s", paid["operation_id"])
        ),
        "the payment is applied",
    )
    pictures: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("overview", "/", {}),
        ("overview-ru", "/", {"locale": "ru-RU"}),
        ("overview-ru-phone", "/", {"locale": "ru-RU", "viewport": PHONE}),
        ("organization", f"/organizations/{busiest}/", {}),
        ("operation", f"/operations/{paid['operation_id']}/", {}),
        ("operation-ru-dark", f"/operations/{paid['operation_id']}/", _RUSSIAN_NIGHT),
        ("conflict", f"/conflicts/{conflict}/", {}),
        ("dead-letters", "/dead-letters/", {}),
    )
    for name, path, options in pictures:
        given: dict[str, Any] = {"locale": "en-GB", "viewport": DESK, "color_scheme": "light"}
        context = browser.new_context(**{**given, **options})
        page = context.new_page()
        page.goto(address + path)
        if path == "/":
            wait_until(partial(_has_looked, page), "the overview has been looked at for a while")
        page.screenshot(path=FOLDER / f"{name}.png")
        context.close()
        print(FOLDER / f"{name}.png")  # noqa: T201


def _has_looked(page: Page) -> bool:
    return int(page.locator("#live").get_attribute("data-looks") or 0) > LOOKS


_RUSSIAN_NIGHT = {"locale": "ru-RU", "color_scheme": "dark"}

if __name__ == "__main__":
    sys.exit(main())
