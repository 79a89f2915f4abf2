"""A Chromium for the console's tests: the system's, or one that is installed for them.

``make test`` runs this file once. Where none can be had it says so, and the tests that need one
are skipped with the same sentence.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
INSTALL_SECONDS_MAX = 300
ADVICE = (
    "No Chromium is there for the console's tests. Install one: `apt-get install chromium`, or "
    "`.venv/bin/python -m playwright install --with-deps chromium`."
)


def find() -> str | None:
    """The program, whoever installed it; None when there is none."""
    for name in PROGRAMS:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return str(own) if own.is_file() else None


def main() -> int:
    """Install one where there is none, and say how that went. Never fails: see above."""
    found = find()
    if found is None:
        for command in _ways():
            print(f"Installing Chromium for the console's tests: {' '.join(command)}")  # noqa: T201
            _run(command)
            if found := find():
                break
    print(found or ADVICE)  # noqa: T201
    return 0


def _ways() -> list[Sequence[str]]:
    playwright = (sys.executable, "-m", "playwright", "install")
    if os.geteuid() != 0:
        return [(*playwright, "chromium")]
    ways: list[Sequence[str]] = [(*playwright, "--with-deps", "chromium")]
    # Ubuntu's package of that name wants snapd, which no container has.
    if shutil.which("apt-get") and platform.freedesktop_os_release().get("ID") == "debian":
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
        ways.insert(0, ("sh", "-c", install))
    return ways


def _run(command: Sequence[str]) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(
            command,
            env=quiet,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=INSTALL_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
