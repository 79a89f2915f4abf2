"""What the console's tests in a browser share."""

from collections.abc import Callable
from typing import NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from support.system import System

ARGUMENTS = (
    "--no-sandbox",  # Chromium's own wants a user that is not root.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SERIOUS = ("serious", "critical")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}

Open = Callable[..., Page]


class Console(NamedTuple):
    """A live system with a console, and every kind of record in it."""

    system: System
    address: str


def serious(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe finds that keeps somebody from using the page."""
    return [
        (page.url, one["id"], [node["html"] for node in one["nodes"]])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in SERIOUS
    ]
