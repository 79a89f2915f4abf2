"""What the log says of an error that nobody thought of."""

import pytest
import structlog

from ostatok import logs
from ostatok.settings import load


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """They may be a password, or what a session's cookie says."""
    before = structlog.get_config()
    try:
        logs.configure(load(log_format=log_format, log_file=None))
        _fail("planted" + "-secret")
    finally:
        structlog.configure(**before)
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "planted-secret" not in said


def _fail(secret: str) -> None:
    try:
        assert secret
        1 / 0  # noqa: B018  # it is to fail
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
