"""What the files of a deployment are held to: compose's, Kubernetes' and the image's alike."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ostatok.setting_types import PREFIX
from ostatok.settings import Settings, load
from ostatok_http.app import create_app
from ostatok_http.parts import Ports

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WRITABLE = "/tmp"  # noqa: S108  # the one folder our containers write to
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|AUTH(?!ENTICATION$)")
"""What is in the name of a variable that holds a secret."""

URL_WITH_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def http_paths() -> set[str]:
    """The addresses `ostatok http` answers at."""
    app = create_app(Settings.model_construct(), Ports(*[Mock()] * len(Ports._fields)))
    return {resource.canonical for resource in app.router.resources()}


def stream_paths() -> set[str]:
    """The addresses a worker answers at."""
    source = (ROOT / "stream/ostatok_stream/monitoring.py").read_text("utf-8")
    return set(re.findall(r'add_get\("([^"]+)"', source))


def settings_from(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Read the settings in an environment that has these variables of ours and no other."""
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return load()


def assert_is_setting(variable: str) -> None:
    """See that a variable is a setting, or the file of a secret one."""
    assert variable.startswith(PREFIX)
    name = variable.removeprefix(PREFIX).lower()
    if name not in Settings.model_fields:
        assert name.endswith("_file"), variable
        secret = Settings.model_fields[name.removesuffix("_file")]
        assert "SecretStr" in str(secret.annotation), variable


def assert_is_no_secret(variable: str, value: str) -> None:
    """See that a variable of a secret names a file, and that no URL has a password in it."""
    assert not SECRET.search(variable) or variable.endswith("_FILE"), variable
    assert not URL_WITH_PASSWORD.search(value), variable
