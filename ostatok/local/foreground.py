"""Running parts in the foreground, until they fail or somebody says stop."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from ostatok.errors import LocalError
from ostatok.local import ports
from ostatok.local.screen import Screen
from ostatok.local.supervisor import Supervisor

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_stopped(
    work: Coroutine[Any, Any, None], supervisor: Supervisor, screen: Screen
) -> None:
    """Do ``work`` until it fails or a signal says stop; then stop every part, whatever happened.

    Raises what ``work`` raised.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            screen.line("Stopping…")
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        for title in await supervisor.stop():
            screen.line(f"{title} did not stop in time and was killed.")
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    if not working.cancelled():
        working.result()


def check_port(host: str, port: int, hint: str) -> None:
    """See that nobody listens there. Raises LocalError with ``hint``."""
    try:
        ports.check_free(port, host)
    except OSError as error:
        raise LocalError(
            f"Can't listen on {host}:{port}: {error.strerror or error}.",
            hint=hint,
        ) from error
