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
from ostatok.setting_types import PREFIX


async def serve_http(
    *, host: str, port: int, serve: str, workers: int, drain_seconds: float
) -> None:
    """Run the processes of ``ostatok http --workers N`` until Ctrl-C or SIGTERM.

    They have our environment and write to our terminal.
    """
    check_port(host, port, hint="Set OSTATOK_HTTP_PORT to another one.")
    screen = Screen(sys.stderr)
    supervisor = Supervisor(say=screen.line)
    with tempfile.TemporaryDirectory(prefix="ostatok-http-") as folder:
        environment = {**os.environ, f"{PREFIX}HTTP_SERVE": serve}
        given = processes.Given(environment, stop_seconds=drain_seconds + 2)
        parts = processes.http_parts(
            given, host=host, port=port, workers=workers, folder=Path(folder)
        )
        await until_stopped(_serve(supervisor, parts), supervisor, screen)


async def _serve(supervisor: Supervisor, parts: list[Part]) -> None:
    # Not ready is no reason to end: Kafka and Postgres are others' here, and may come later.
    await supervisor.start(parts, wait=False)
    await supervisor.watch()
