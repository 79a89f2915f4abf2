"""The environments of the peers: what a bench measures against and the project itself never needs.

Each is a venv under ``.bench/`` in the repository, made from the peer's own lock file.
"""

import os
import shutil
import sys
from pathlib import Path

from ostatok.local.parts import Part, Running

ROOT = Path(__file__).parents[1]
INSTALL_SECONDS_MAX = 600


def folder(name: str) -> Path:
    """Where a peer's code and requirements lie."""
    return ROOT / "bench" / "peers" / name


async def interpreter(name: str) -> Path:
    """The Python of a peer's environment, which is made on first use.

    It is made anew when making it was interrupted, or when its lock file has changed since.
    """
    requirements = folder(name) / "requirements.txt"
    place = ROOT / ".bench" / name
    python, stamp = place / "bin" / "python", place / "stamp"
    # Every hash of every package is in it: the same text is the same environment.
    wanted = f"{sys.version}\n{requirements.read_text(encoding='utf-8')}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"Installing the packages of {name} into {place}", flush=True)  # noqa: T201
        shutil.rmtree(place, ignore_errors=True)
        await _run(name, sys.executable, "-I", "-m", "venv", str(place))
        install = ("-m", "pip", "--quiet", "install", "--require-hashes", "-r", str(requirements))
        await _run(name, str(python), "-I", *install)
        stamp.write_text(wanted, encoding="utf-8")
    return python


async def _run(name: str, *argv: str) -> None:
    log = ROOT / ".bench" / f"{name}.log"
    part = Part(
        name=f"making the environment of {name}",
        argv=argv,
        # pip's mirror, proxy and certificates are the user's to say.
        environment=os.environ,
        log=log,
        ready_seconds=INSTALL_SECONDS_MAX,
    )
    await Running(part).wait_success()
