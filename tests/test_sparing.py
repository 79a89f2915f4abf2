"""What is swallowed, what is not, and how often it is said."""

import asyncio

import pytest
from structlog.testing import capture_logs

from ostatok_stream.sparing import SAID_SECONDS_MIN, Sparing


def test_what_fails_all_the_time_is_said_once_a_minute() -> None:
    """Each error is swallowed; the log is not filled with it."""
    now = 0.0
    sparing = Sparing("figures", lambda: now)
    said = []
    for now in (0.0, 1.0, SAID_SECONDS_MIN - 1, SAID_SECONDS_MIN, SAID_SECONDS_MIN + 1):
        with capture_logs() as events, sparing:
            raise ValueError(now)
        said += [(one["event"], one["what"], str(one["exc_info"])) for one in events]
    assert said == [
        ("telling_failed", "figures", "0.0"),
        ("telling_failed", "figures", str(SAID_SECONDS_MIN)),
    ]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_an_end_that_is_wanted_goes_through(error: type[BaseException]) -> None:
    """Who ends a task or the process is heard."""
    with pytest.raises(error), Sparing("figures"):
        raise error
