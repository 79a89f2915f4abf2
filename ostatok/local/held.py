"""``python -m ostatok.local.held http``: a command that loads at once and begins when it may.

Held, it reads a pipe, and begins with the byte that comes through it: so a start has Python's
imports done while Kafka and Postgres come up. A pipe that ends without one means that nobody is
there to begin for. With an empty file there is no wait: so start the parts of `ostatok http`, and
those that are started again.
"""

import gc
import importlib
import os
import stat
import sys

from ostatok.cli import main as command

# Most of what each command imports when it runs, also what libraries import late, by a name. What
# is missing here is only loaded later.
MODULES = {
    "migrate": ("ostatok.topic", "ostatok_db.migrate"),
    "http": ("ostatok_http.process", "encodings.idna"),
    # Not the app itself: it reads the settings when it is imported, and may refuse them.
    "stream": (
        "ostatok_stream.agent",
        "ostatok_stream.monitoring",
        "ostatok_stream.worker",
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
    for name in MODULES[sys.argv[1]]:
        importlib.import_module(name)
    gc.enable()
    if not sys.stdin.buffer.read() and stat.S_ISFIFO(os.fstat(0).st_mode):
        sys.exit(1)
    command(prog_name="ostatok")


if __name__ == "__main__":
    main()
