"""``python -m ostatok.local.held http``: a command that loads at once and begins when it may.

It begins when its standard input ends. So a start has Python's imports done while Kafka and
Postgres come up, and with an empty input, as every later start has, there is no wait.
"""

import gc
import importlib
import runpy
import sys

# What each command imports when it runs, also what libraries import late, by a name.
MODULES = {
    "migrate": ("ostatok.topic", "ostatok_db.ledger", "ostatok_db.migrate"),
    "http": ("ostatok_http.app", "encodings.idna"),
    # Not the app itself: it reads the settings when it is imported, and may refuse them.
    "stream": (
        "ostatok_stream.agent",
        "ostatok_stream.monitoring",
        "ostatok_stream.tolerant",
        "ostatok_stream.worker",
        "ostatok_stream.brake",
        "ostatok_stream.transport",
        "faust.agents",
        "faust.app.router",
        "faust.tables.sets",
        "faust.topics",
    ),
}


def main() -> None:
    """Load, wait for the end of the input, and be the command that the arguments name."""
    # Nothing that is loaded becomes garbage: looking for it is a tenth of the time.
    gc.disable()
    for name in ("ostatok.cli", *MODULES[sys.argv[1]]):
        importlib.import_module(name)
    gc.enable()
    sys.stdin.buffer.read()
    runpy.run_module("ostatok", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
