"""The data folder of one ``ostatok up``: who holds it, and the file that says where all is."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostatok.errors import LocalError


class DataFolder:
    """``postgres/``, ``kafka/``, ``log/``, ``run/``, ``run.json`` and ``lock`` below one path."""

    def __init__(self, path: Path) -> None:
        """Make the folder if there is none. Raises LocalError when that can't be."""
        self.path = path.absolute()
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                # The user that root hands Postgres to passes through; nobody else has business.
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for inner in (self.log, self.kafka, self.path / "run"):
                inner.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalError(
                f"The data folder can't be made: {error}.", hint="Give another one with --data."
            ) from error

    @property
    def postgres(self) -> Path:
        """Where Postgres keeps its data."""
        return self.path / "postgres"

    @property
    def kafka(self) -> Path:
        """Where Kafka keeps its data."""
        return self.path / "kafka"

    @property
    def log(self) -> Path:
        """The folder of all logs."""
        return self.path / "log"

    @property
    def run_file(self) -> Path:
        """Says where everything is, while it runs; with the password, so for us alone."""
        return self.path / "run.json"

    @contextmanager
    def held(self, address: str) -> Iterator[None]:
        """Hold the folder; raise LocalError naming the process that holds it already.

        The kernel lets go of it when this process ends, however it ends.
        """
        with (self.path / "lock").open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise LocalError(
                    f"Ostatok runs on the folder {self.path} already ({lock.read().strip()}).",
                    hint="Stop that one, or give another folder with --data.",
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, {address}\n")
            lock.flush()
            self.run_file.unlink(missing_ok=True)
            try:
                yield
            finally:
                self.run_file.unlink(missing_ok=True)

    def write_run_file(self, content: dict[str, Any]) -> None:
        """Replace ``run.json`` in one step: a reader never sees half of it."""
        building = self.run_file.with_suffix(".new")
        building.unlink(missing_ok=True)
        with os.fdopen(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        building.replace(self.run_file)

    def empty_folder(self, name: str) -> Path:
        """Give ``run/<name>``, which the processes of a part share, with nothing in it."""
        folder = self.path / "run" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def running_on(path: Path) -> dict[str, str]:
    """Give the settings of the ``ostatok up`` that runs on a folder, for :func:`settings.load`.

    Raises :class:`LocalError` when none runs there.
    """
    try:
        run = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalError(
            f"No `ostatok up` runs on {path}.",
            hint="Start it, or leave --data out and set the variables OSTATOK_….",
        ) from error
    return {
        "database_url": run["database_url"],
        "kafka_bootstrap_servers": run["kafka"],
        "topic": run["topic"],
        **{f"database_role_{part}": role for part, role in run.get("database_roles", {}).items()},
    }
