"""The processes of a run: started, kept running, frozen, killed and held down."""

import asyncio
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Self

from support.signals import send, with_children

from chaos import sabotages
from chaos.disk import FillableDisk
from chaos.ends import Diary, End
from chaos.proxy import Proxy
from chaos.services import ProxiedKafka, through
from chaos.view import View
from ostatok.errors import LocalError
from ostatok.local import processes
from ostatok.local.parts import POLL_SECONDS, Part, Running, gone
from ostatok.local.ports import free_port
from ostatok.local.postgres import EmbeddedPostgres
from ostatok.local.processes import environment_of
from ostatok.settings import Settings, load

TESTS = Path(__file__).parents[1]
PATH = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
RESTART_SECONDS = 0.5
HTTP_WORKERS = 2
WORKERS_MAX = 3
REQUESTS_MAX = 100
"""Webhooks one http process has in hand at the most: few, so that the queue can be filled."""


@dataclasses.dataclass(slots=True)
class Slot:
    """A part that is kept running unless it is held down."""

    part: Part
    running: Running
    held: bool = False
    start_at: float | None = None


class Stage:
    """Everything that runs, on one data folder."""

    def __init__(self, *, session_seconds: float, sabotage: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ostatok-chaos-"))
        self.folder.chmod(0o711)  # Postgres does not run as root: its user must get to its data.
        self.log = self.folder / "log"
        self.points = self.folder / "points"
        self.points.mkdir()
        self.disk = FillableDisk(self.folder / "disk")
        self.diary = Diary()
        self.ends: list[End] = []
        """Of processes that no signal of ours ended."""
        self.ordered: set[int] = set()
        """Processes that a signal of ours was to end."""
        self.session_seconds = session_seconds
        self._sabotage = sabotage
        self._slots: list[Slot] = []
        self._frozen: set[int] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything, and wait until it is ready."""
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await self._stop()

    def remove(self) -> None:
        """Leave no file behind."""
        self.disk.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """Where the clients post."""
        return f"http://127.0.0.1:{self.settings.http_port}"

    async def _start(self) -> None:
        self.disk.mount()
        postgres = EmbeddedPostgres(
            self.disk.folder / "postgres", free_port(), log=self.log / "postgres.log"
        )
        kafka = ProxiedKafka(self.folder / "kafka", log=self.log / "kafka.log")
        to_postgres = Proxy("postgres", postgres.port)
        self.proxies = {
            proxy.name: await self._stack.enter_async_context(proxy)
            for proxy in (kafka.proxy, to_postgres)
        }
        await asyncio.gather(postgres.prepare(), kafka.prepare())
        await self.add(postgres.part(), kafka.part())
        common: dict[str, Any] = {
            "http_port": free_port(),
            "http_requests_max": REQUESTS_MAX,
            "publish_timeout_seconds": 3,
            "log_format": "json",
            "log_operations": False,
        }
        # What the harness itself uses: straight to the services.
        self.direct = load(
            database_url=postgres.database_url,
            kafka_bootstrap_servers=kafka.bootstrap_servers,
            **common,
        )
        self.settings = load(
            database_url=through(to_postgres, postgres.database_url),
            kafka_bootstrap_servers=f"127.0.0.1:{kafka.proxy.port}",
            **common,
        )
        self.view = View(self.direct)
        await self.migrate(self.settings)
        given = processes.Given(environment_of(self.settings), self.log)
        self._keeping = asyncio.create_task(self._keep())
        self._workers = self._worker_parts(given)
        await self.set_workers(1)
        shared = self.folder / "http"
        shared.mkdir()
        several = self.settings.model_copy(update={"http_workers": HTTP_WORKERS})
        served = processes.http_parts(given, several, shared)
        await self.add(*map(self._sabotaged, served))

    async def migrate(self, settings: Settings) -> None:
        """Make topic and schema."""
        given = processes.Given(environment_of(settings), self.log)
        await Running(processes.migrate_part(given)).wait_success()

    def _worker_parts(self, given: processes.Given) -> list[Part]:
        ports = [free_port() for _ in range(WORKERS_MAX)]
        more = {
            "PYTHONPATH": PATH,
            "CHAOS_FOLDER": str(self.points),
            "CHAOS_SABOTAGE": self._sabotage,
            "CHAOS_SESSION_SECONDS": str(self.session_seconds),
        }
        return [
            dataclasses.replace(
                part,
                argv=(sys.executable, "-m", "chaos.worker"),
                environment={**part.environment, **more},
            )
            for part in processes.stream_parts(given, ports)
        ]

    def _sabotaged(self, part: Part) -> Part:
        if self._sabotage not in sabotages.OF_THE_RECEIVER:
            return part
        more = {"PYTHONPATH": PATH, "CHAOS_SABOTAGE": self._sabotage}
        return dataclasses.replace(
            part,
            argv=(sys.executable, "-m", "chaos.receiver"),
            environment={**part.environment, **more},
        )

    async def add(self, *parts: Part) -> None:
        """Start parts, wait until they are ready, and keep them running."""
        await asyncio.gather(*(slot.running.wait_ready() for slot in self._started(parts)))

    def _started(self, parts: Sequence[Part]) -> list[Slot]:
        new = [Slot(part, Running(part)) for part in parts]
        self._slots += new
        return new

    @property
    def workers(self) -> int:
        """How many stream workers there are, running or to be started again soon."""
        return sum(slot.part.name == "stream" for slot in self._slots)

    async def set_workers(self, many: int) -> None:
        """Let so many stream workers run; whoever is too many is asked to end."""
        here = [slot for slot in self._slots if slot.part.name == "stream"]
        for slot in here[many:]:
            slot.held = True
            self._slots.remove(slot)
            if slot.running.exit_code is None:
                await slot.running.stop()
                if slot.running.exit_code not in {0, -signal.SIGKILL, -signal.SIGTERM}:
                    self._note_end(slot)
        await self.add(*self._workers[len(here) : many])

    def start_worker(self) -> None:
        """Start one more stream worker, and don't wait for it."""
        here = self.workers
        self._started(self._workers[here : here + 1])

    def pids(self, name: str) -> list[int]:
        """The processes of a part that run now."""
        here = [slot.running for slot in self._slots if slot.part.name == name]
        return [running.pid for running in here if running.exit_code is None]

    def family(self, name: str, pick: Random) -> list[int]:
        """One process of a part, chosen by chance; of Postgres with all its children."""
        pids = self.pids(name)
        if not pids:
            return []
        chosen = pick.choice(pids)
        return with_children(chosen) if name == "postgres" else [chosen]

    def kill(self, pids: list[int]) -> None:
        """``kill -9``; they are started again soon."""
        self.ordered |= set(pids)
        send(pids, signal.SIGKILL)
        self._frozen -= set(pids)

    def freeze(self, pids: list[int]) -> None:
        """SIGSTOP."""
        self._frozen |= set(pids)
        send(pids, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT to all that are frozen, also to a worker that froze itself."""
        send([*self._frozen, *self.pids("stream")], signal.SIGCONT)
        self._frozen.clear()

    async def hold(self, name: str) -> None:
        """``kill -9`` all of a part, and keep it down."""
        for slot in self._slots:
            if slot.part.name == name:
                slot.held = True
                self.kill(with_children(slot.running.pid))
                await gone(slot.running.pid, seconds=10)

    def release(self) -> None:
        """Let everything run again."""
        for slot in self._slots:
            slot.held = False

    def heal(self) -> None:
        """End every fault: disarm, thaw, release, mend."""
        self.disk.free()
        for armed in self.points.glob("*.*"):
            armed.unlink(missing_ok=True)
        self.thaw()
        self.release()
        for proxy in self.proxies.values():
            proxy.heal()

    async def _keep(self) -> None:
        while True:
            now = time.monotonic()
            for slot in self._slots:
                if slot.held or slot.running.exit_code is None:
                    continue
                if slot.start_at is None:
                    self._note_end(slot)
                    slot.start_at = now + RESTART_SECONDS
                elif now >= slot.start_at:
                    slot.start_at = None
                    with suppress(LocalError):
                        slot.running = Running(slot.part)
            await asyncio.sleep(POLL_SECONDS)

    def _note_end(self, slot: Slot) -> None:
        pid = slot.running.pid
        # It may be gone before whoever armed the point has seen that it took the file.
        did_it_itself = any(self.points.glob(f"*.*.{pid}"))
        if pid not in self.ordered and not did_it_itself:
            how = f"{slot.part.name}: {slot.running.how_it_ended}"
            self.ends.append(End(datetime.now(UTC), how))

    async def _stop(self) -> None:
        if hasattr(self, "_keeping"):
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if hasattr(self, "proxies"):
            self.heal()
        for names in (("http", "stream"), ("kafka", "postgres")):
            slots = [slot for slot in self._slots if slot.part.name in names]
            await asyncio.gather(*(slot.running.stop() for slot in slots))
        await self._stack.aclose()


async def until(condition: Callable[[], Any], seconds: float) -> None:
    """Wait for a condition; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # another process makes it true
            await asyncio.sleep(POLL_SECONDS)
