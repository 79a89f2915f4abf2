"""Folders that the user who runs Postgres can enter; pytest's own are closed to others."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give an empty folder that is removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="ostatok-test-"))
    if os.geteuid() == 0:
        path.chmod(0o711)
    yield path
    shutil.rmtree(path)
