"""One process of the system: what it is (:class:`Part`) and what runs of it (:class:`Running`)."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ostatok.errors import LocalError

LOG_BYTES_MAX = 16 * 1024 * 1024
POLL_SECONDS = 0.03
_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec nothing may be imported.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


async def always_ready() -> bool:
    """Be the probe of a part that is ready as soon as it runs."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the system, not yet started.

    ``environment`` is the whole of it, nothing is inherited. ``user`` is (uid, gid) to run as.
    ``log`` takes its output, None: our own terminal does. ``own_log`` is one it writes itself.
    ``stop_signal`` asks it to end, and reaches it also when its parent is killed (Linux);
    ``stop_seconds`` later SIGKILL follows.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path | None
    own_log: Path | None = None
    number: int | None = None
    ready: Callable[[], Awaitable[bool]] = always_ready
    ready_seconds: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 4
    user: tuple[int, int] | None = None
    pid_file: Path | None = None

    @property
    def title(self) -> str:
        """Its name for people: ``kafka``, ``http 0``."""
        return self.name if self.number is None else f"{self.name} {self.number}"

    @property
    def where_to_look(self) -> str:
        """Where it says what went wrong."""
        logs = [str(log) for log in (self.own_log, self.log) if log is not None]
        return " and ".join(logs) or "above"


class Running:
    """The process of a part, started by making this object.

    It reads ``stdin``; one that is ``held`` waits for a byte of it until ``begin``.
    Must be made in a thread that lives as long as the process: Linux counts that thread as
    the parent whose death ends it.
    """

    def __init__(self, part: Part, stdin: bytes = b"", *, held: bool = False) -> None:
        self.part = part
        self.started_at = time.monotonic()
        uid, gid = part.user or (None, None)
        with tempfile.TemporaryFile() as given, _opened(part.log) as log:
            given.write(stdin)
            given.seek(0)
            self._marks = {path: _size(path) for path in (part.log, part.own_log) if path}
            try:
                self._process = subprocess.Popen(
                    part.argv,
                    env=dict(part.environment),
                    stdin=subprocess.PIPE if held else given,
                    stdout=log,
                    stderr=None if log is None else subprocess.STDOUT,
                    # Another user may not be allowed where we are.
                    cwd="/" if part.user else None,
                    # Its own session: Ctrl-C in the terminal must reach the supervisor only.
                    start_new_session=True,
                    user=uid,
                    group=gid,
                    extra_groups=[] if part.user else None,
                    preexec_fn=_ends_with_its_parent(part.stop_signal),  # noqa: PLW1509
                )
            except OSError as error:
                raise LocalError(f"{part.title} can't be started: {error}.") from error
        if part.pid_file is not None:
            try:
                part.pid_file.write_text(f"{self.pid}\n", encoding="ascii")
            except OSError as error:
                self.kill()
                raise LocalError(f"{part.title} can't be started: {error}.") from error

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; below zero: the signal that ended it."""
        return self._process.poll()

    @property
    def how_it_ended(self) -> str:
        """``exit 1`` or ``SIGKILL``."""
        code = self.exit_code
        if code is None:
            return "running"
        return signal.Signals(-code).name if code < 0 else f"exit {code}"

    def last_lines(self, count: int = 15) -> str:
        """The end of what this process has written to its logs, at most ``count`` lines of each."""
        lines: list[str] = []
        for path, mark in self._marks.items():
            if path.exists():
                with path.open("rb") as log:
                    log.seek(max(mark, _size(path) - 16_384))
                    lines += log.read().decode(errors="replace").splitlines()[-count:]
        return "\n".join(f"  {line}" for line in lines)

    def begin(self) -> None:
        """Let one that is held go on: a byte, and the end of its input."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # It has ended; whoever waits for it will see.
                self._process.stdin.write(b"\n")
                self._process.stdin.close()

    def require_alive(self) -> None:
        """Raise LocalError when it has ended, though it is not ready yet."""
        if self.exit_code is not None:
            raise self._failure(f"ended by itself ({self.how_it_ended}) before it was ready")

    async def wait_ready(self) -> None:
        """Wait until it is ready. Raises LocalError when it ends or its limit has passed."""
        deadline = time.monotonic() + self.part.ready_seconds
        while True:
            self.require_alive()
            if await self.part.ready():
                return
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {self.part.ready_seconds:g} s")
            await asyncio.sleep(POLL_SECONDS)

    async def wait_success(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait for its end, calling ``tick`` now and then; kill it when cancelled.

        Raises LocalError when it failed or its ``ready_seconds`` have passed.
        """
        try:
            if not await self._ended(self.part.ready_seconds, tick):
                raise self._failure(f"did not end within {self.part.ready_seconds:g} s")
        finally:
            self.kill()
        if self.exit_code != 0:
            raise self._failure(f"failed ({self.how_it_ended})")

    async def stop(self) -> bool:
        """Ask it to end, then make it end. False if it had to be killed."""
        if self.exit_code is None:
            self._process.send_signal(self.part.stop_signal)
        in_time = await self._ended(self.part.stop_seconds)
        self.kill()
        return in_time

    def kill(self) -> None:
        """SIGKILL it and whatever is left of its process group, and wait for its end."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    async def _ended(self, seconds: float, tick: Callable[[], None] = lambda: None) -> bool:
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            if time.monotonic() > deadline:
                return False
            tick()
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _failure(self, what: str) -> LocalError:
        lines = self.last_lines()
        hint = f"Its log: {self.part.where_to_look}" + (f"; the end of it:\n{lines}" * bool(lines))
        return LocalError(f"{self.part.title} {what}.", hint=hint)


def environment(**more: str) -> dict[str, str]:
    """Give a service's environment: nothing of the caller's that could change what it does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **more}


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # In a container nobody may collect the dead: an ended process then keeps its id for good.
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] != "Z"


async def gone(pid: int, seconds: float) -> bool:
    """Wait until a process that is not our child has ended; False when it did not in time."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _opened(log: Path | None) -> AbstractContextManager[BinaryIO | None]:
    """Open a log to append to; a new one is begun when it is long, and two pieces are kept."""
    if log is None:
        return nullcontext()
    log.parent.mkdir(parents=True, exist_ok=True)
    if _size(log) > LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".1"))
    return log.open("ab")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ends_with_its_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """Give what a child does before its exec, so that a killed supervisor leaves no orphan."""
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
