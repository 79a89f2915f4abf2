"""What the console's tests in a browser speak of."""

from collections.abc import Callable
from typing import NamedTuple

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
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}

Open = Callable[..., Page]


class Console(NamedTuple):
    """A live system with a console, and every kind of record in it."""

    system: System
    address: str
