"""What is said when a setting is wrong, when a command fails, and when something is printed."""

import io
import os
import sys
from pathlib import Path

import pytest
import structlog
from support import leaks

from ostatok import logs
from ostatok.errors import SettingsError
from ostatok.local import jars
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings, load

SECRET = leaks.planted("token")
WRONG = (
    SECRET,
    f"postgresql://me:{SECRET}@[::1/ledger",
    f"postgresql://me:a@{SECRET}@db/ledger",
    f"postgresql://me:a/{SECRET}@db/ledger",
    f"postgresql://me:%{SECRET}@db/ledger",
    f"password={SECRET} host",
    f"Authorization: Bearer {SECRET}",
    f"[bank]\nbearer = '{SECRET}'",
    f"[bank]\n[[bank.accept]]\nhmac = '{SECRET}'",
    f"[bank]\n[[bank.accept]]\nbearer.tokens = ['{SECRET}', 1]",
    f"[bank]\n[[bank.accept]]\nnetworks = ['{SECRET}']",
    f"[bank]\n[[bank.accept]]\nstandard_webhooks.secrets = ['{SECRET}+']",
    f"[bank]\n[[bank.accept]]\nbearer.tokens = ['{SECRET[:15]}']",
    f"[bank\n{SECRET}",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET * 40}\n-----END PRIVATE KEY-----",
)
"""What a setting may be given by somebody who takes it for another one, or leaves a part out."""

NAMES_ITS_VALUE = {name for name, one in Settings.model_fields.items() if "Path" in str(one)}
"""A path that leads nowhere is repeated: whoever mistyped it must see it. A key is no path."""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's own."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_is_repeated_when_it_is_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A sentence names the variable and what it should be, and not what it is."""
    for value in WRONG:
        if name in NAMES_ITS_VALUE and value.isprintable():
            continue
        monkeypatch.setenv(PREFIX + name.upper(), value)
        try:
            load()
        except SettingsError as error:
            said = f"{error} {error.hint} {error!r}"
            assert SECRET[:15] not in said, value


@pytest.mark.parametrize("name", leaks.SETTINGS)
def test_a_secret_in_the_place_of_its_file_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """…_FILE with the secret itself is an easy mistake."""
    monkeypatch.setenv(f"{PREFIX}{name.upper()}_FILE", SECRET)
    with pytest.raises(SettingsError, match=f"{PREFIX}{name.upper()}_FILE") as refused:
        load()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_has_no_values(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    """Where it happened, and not with what: also where `rich` would show all variables."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure(load(log_format=log_format))

    def fails(password: str) -> None:
        raise ValueError(len(password))

    try:
        fails(f"{SECRET[:10]}{SECRET[10:]}")
    except ValueError as error:
        structlog.get_logger().exception("request_failed", exc_info=error)
    finally:
        structlog.reset_defaults()
    assert "in fails" in written.getvalue()
    assert not leaks.found_in(written.getvalue().encode())


async def test_a_download_is_given_no_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What fetches Kafka's jars has the caller's proxies and mirrors, and none of his secrets."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nenv > "$3/environment"\n', encoding="ascii")
    program.chmod(0o755)
    for variable, text in leaks.variables().items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setattr(sys, "executable", str(program))
    await jars.provide(tmp_path, lambda _text: None, tmp_path / "log")
    given = (tmp_path / "environment").read_bytes()
    assert b"HTTPS_PROXY=http://proxy:3128" in given
    assert not leaks.found_in(given)
