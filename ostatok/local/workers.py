"""``ostatok http --workers N``: the processes of one service, which share the port."""

import os
import sys
import tempfile
from pathlib import Path

from ostatok.local import processes
from ostatok.local.foreground import check_port, until_stopped
from ostatok.local.parts import Part
from ostatok.local.screen import Screen
from ostatok.local.supervisor import Supervisor
from ostatok.settings import Settings


async def serve_http(settings: Settings) -> None:
    """Run the processes of ``ostatok http --workers N`` until Ctrl-C or SIGTERM.

    They have our environment and write to our terminal.
    """
    check_port(settings.http_host, settings.http_port, hint="Set OSTATOK_HTTP_PORT to another one.")
    screen = Screen(sys.stderr)
    supervisor = Supervisor(say=screen.line)
    with tempfile.TemporaryDirectory(prefix="ostatok-http-") as folder:
        given = processes.Given(os.environ, stop_seconds=settings.http_drain_seconds + 2)
        parts = processes.http_parts(given, settings, Path(folder))
        await until_stopped(_serve(supervisor, parts), supervisor, screen)


async def _serve(supervisor: Supervisor, parts: list[Part]) -> None:
    # Not ready is no reason to end: Kafka and Postgres are others' here, and may come later.
    await supervisor.start(parts, wait=False)
    await supervisor.watch()
