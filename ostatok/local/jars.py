"""Kafka's jars: a pinned list, a cache that all runs share, every jar verified at every start.

The list names exact versions, so nothing is resolved: jgo only fetches the files, and
what it fetches is compared with our own SHA-256, as its own check only warns.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ostatok.errors import LocalError
from ostatok.local.parts import Part, Running, environment
from ostatok.local.service import Progress
from ostatok.setting_types import PREFIX

LIST = Path(__file__).with_name("kafka-jars.txt")
FETCHES_AT_ONCE = 6
TRIES = 3
FETCH_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar: ``group:artifact:version`` and the SHA-256 of its bytes in hex."""

    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        """``artifact-version.jar``."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def is_whole(self, path: Path) -> bool:
        """Tell whether the file is there and has exactly the pinned bytes."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


# Gives the file of a coordinate, fetched below a scratch folder.
Fetch = Callable[[str, Path], Path]


def pinned(path: Path = LIST) -> tuple[Jar, ...]:
    """Read the list."""
    lines = path.read_text(encoding="ascii").splitlines()
    return tuple(Jar(*line.split()) for line in lines if line and not line.startswith("#"))


def kafka_version() -> str:
    """The version of Kafka that the list is for."""
    return next(
        jar.coordinate.rpartition(":")[2]
        for jar in pinned()
        if jar.coordinate.startswith("org.apache.kafka:kafka-clients:")
    )


def cache_folder() -> Path:
    """Where the jars are kept between runs, for all data folders of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ostatok" / f"kafka-{kafka_version()}"


def damaged(folder: Path, jars: tuple[Jar, ...]) -> list[Jar]:
    """Give the jars that are missing in ``folder`` or are not what was pinned.

    Reads every byte: 44 MB take 0.05 s.
    """
    return [jar for jar in jars if not jar.is_whole(folder / jar.filename)]


async def provide(folder: Path, progress: Progress, log: Path) -> list[Path]:
    """Give the verified jars, fetching what is missing or damaged. Raises LocalError.

    Fetching is a process of its own, so that Ctrl-C ends it at once, whatever it waits for.
    """
    jars = pinned()
    missing = damaged(folder, jars)
    if missing:
        version, said = kafka_version(), -1

        def tick() -> None:
            nonlocal said
            here = sum((folder / jar.filename).exists() for jar in jars)
            if here != said:
                progress(f"Kafka {version}: {here} of {len(jars)} jars")
                said = here

        part = Part(
            name="the download of Kafka's jars",
            argv=(sys.executable, "-m", "ostatok.local.jars", str(folder)),
            # The caller's, for proxies and mirrors; his settings are no business of a download.
            environment={
                **{name: text for name, text in os.environ.items() if not name.startswith(PREFIX)},
                **environment(),
            },
            log=log,
            ready_seconds=FETCH_SECONDS,
        )
        await Running(part).wait_success(tick)
    return [folder / jar.filename for jar in jars]


def fetch_missing(folder: Path, jars: tuple[Jar, ...], fetch: Fetch) -> None:
    """Fetch what is missing in ``folder`` or damaged; each jar appears there whole or not at all.

    Raises LocalError naming a jar that can't be had or stays wrong after some tries.
    """
    scratch = folder / "fetching"
    with _alone(folder), ThreadPoolExecutor(FETCHES_AT_ONCE) as threads:
        # Asked again under the lock: another process may have fetched them meanwhile.
        missing = damaged(folder, jars)
        # An archive of classes made from other files would be refused from then on.
        archives = folder.glob("*.jsa") if missing else ()
        for path in (*archives, *(folder / jar.filename for jar in missing)):
            path.unlink(missing_ok=True)
        for _ in threads.map(lambda jar: _fetch_one(jar, folder, scratch, fetch), missing):
            pass
        shutil.rmtree(scratch, ignore_errors=True)


def from_maven(coordinate: str, scratch: Path) -> Path:
    """Fetch one jar with jgo into a repository of its own below ``scratch``."""
    from jgo.config import GlobalSettings  # noqa: PLC0415 - slow, and only wanted here
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=scratch)
    # A mirror that the user has configured for jgo is asked as well.
    context.remote_repos.update(GlobalSettings.load().repositories)
    return Path(context.create_dependency(coordinate).artifact.resolve())


def _fetch_one(jar: Jar, folder: Path, scratch: Path, fetch: Fetch) -> None:
    trouble = ""
    for _ in range(TRIES):
        try:
            file = fetch(jar.coordinate, scratch)
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            trouble = f"could not be fetched: {error}"
            continue
        if jar.is_whole(file):
            file.replace(folder / jar.filename)
            return
        # jgo would give the same file again for as long as it lies there.
        file.unlink()
        trouble = "was fetched and is not the pinned file (its SHA-256 differs)"
    raise LocalError(f"{jar.coordinate} {trouble}.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write to the cache; the kernel frees it when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Fetch into the folder named on the command line; give 1 after saying what went wrong."""
    try:
        fetch_missing(Path(sys.argv[1]), pinned(), from_maven)
    except LocalError as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
