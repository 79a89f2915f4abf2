"""The installations that deploy/kubernetes/ makes."""

from pathlib import Path
from typing import Any

import pytest
from support.cluster import KINDS, OVERLAYS, Installation, installation, with_files
from support.deployment import settings_from

from ostatok.settings import Settings


@pytest.fixture(params=OVERLAYS)
def there(request: pytest.FixtureRequest) -> Installation:
    """What each overlay makes."""
    return installation(request.param)


@pytest.fixture(params=KINDS)
def part(request: pytest.FixtureRequest) -> Any:
    """Each part, unless a test names those that it is about."""
    return request.param


@pytest.fixture
def settings(
    there: Installation, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of a part's processes, read as they read them."""
    given = with_files(there.environment(part), there.mounted(part), tmp_path)
    return settings_from(given, monkeypatch)
