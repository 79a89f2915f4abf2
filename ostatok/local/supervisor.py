"""Keeps the parts running: starts them in order, starts again what died, stops all in order."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from ostatok.errors import LocalError
from ostatok.local.parts import Part, Running

BACKOFF_SECONDS_FIRST = 0.5
BACKOFF_SECONDS_MAX = 30.0
# A part that has run this long is well: the next time it dies it is started again at once.
WELL_SECONDS = 60.0
_LOOK_SECONDS = 0.1

# What comes first is stopped first: whoever uses a service goes before the service.
STOP_ORDER = (("http", "stream"), ("kafka", "postgres"))


@dataclass(slots=True)
class _Kept:
    """A part under supervision: its process now, and how patient we are with it."""

    part: Part
    running: Running
    backoff_seconds: float = BACKOFF_SECONDS_FIRST
    start_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """The processes of one system.

    ``say`` is given a line whenever a part died or came back; ``changed`` is called whenever
    a process id has changed.
    """

    say: Callable[[str], None]
    changed: Callable[[], None] = lambda: None
    _kept: list[_Kept] = field(default_factory=list)

    async def start(self, parts: Sequence[Part], *, wait: bool = True) -> None:
        """Start the parts at the same time and, unless told not to, wait until all are ready.

        Raises LocalError when one is not; what was started then still runs, until ``stop``.
        """
        self._run(parts)
        if wait:
            await self.wait_ready(parts)

    def hold(self, parts: Sequence[Part]) -> None:
        """Start the parts at the same time, each to load and then to wait until ``begin``."""
        self._run(parts, held=True)

    async def begin(self, parts: Sequence[Part]) -> None:
        """Let parts that are held go on, start the others, and wait until all are ready.

        Raises as ``start``.
        """
        for running in self._of(parts):
            running.begin()
        held = [kept.part for kept in self._kept]
        await self.start([part for part in parts if part not in held], wait=False)
        await self.wait_ready(parts)

    def require_alive(self) -> None:
        """Raise LocalError when a part has ended."""
        for kept in self._kept:
            kept.running.require_alive()

    async def wait_ready(self, parts: Sequence[Part]) -> None:
        """Wait until the parts are ready, which were started or begun. Raises as ``start``."""
        await together(*(running.wait_ready() for running in self._of(parts)))

    async def watch(self) -> None:
        """Start again what dies, until cancelled."""
        while True:
            for kept in self._kept:
                self._look_after(kept)
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> list[str]:
        """Stop everything in order; give the titles of those that had to be killed."""
        killed: list[str] = []
        for names in (*STOP_ORDER, None):
            stopping = [k for k in self._kept if names is None or k.part.name in names]
            ends = await asyncio.gather(*(kept.running.stop() for kept in stopping))
            killed += [k.part.title for k, well in zip(stopping, ends, strict=True) if not well]
            self._kept = [kept for kept in self._kept if kept not in stopping]
        return killed

    def pids(self, name: str) -> list[int]:
        """The ids of the processes of a part that run now, by their numbers."""
        running = (k.running for k in self._kept if k.part.name == name)
        return [process.pid for process in running if process.exit_code is None]

    def _run(self, parts: Sequence[Part], *, held: bool = False) -> None:
        for part in parts:  # Kept one by one: should the next not start, this one is stopped.
            self._kept.append(_Kept(part, Running(part, held=held)))

    def _of(self, parts: Sequence[Part]) -> list[Running]:
        return [kept.running for kept in self._kept if kept.part in parts]

    def _look_after(self, kept: _Kept) -> None:
        now = time.monotonic()
        if kept.start_at is not None:
            if now >= kept.start_at:
                self._start_again(kept, now)
        elif kept.running.exit_code is not None:
            if now - kept.running.started_at > WELL_SECONDS:
                kept.backoff_seconds = BACKOFF_SECONDS_FIRST
            how = kept.running.how_it_ended
            self._start_later(kept, now, f"{kept.part.title} ended by itself ({how})")
            self.changed()

    def _start_again(self, kept: _Kept, now: float) -> None:
        try:
            kept.running = Running(kept.part)
        except LocalError as error:
            self._start_later(kept, now, str(error).rstrip("."))
            return
        kept.start_at = None
        self.say(f"{kept.part.title} was started again (process {kept.running.pid}).")
        self.changed()

    def _start_later(self, kept: _Kept, now: float, why: str) -> None:
        kept.start_at = now + kept.backoff_seconds
        self.say(
            f"{why}; it is started again in {kept.backoff_seconds:g} s. "
            f"Its log: {kept.part.where_to_look}"
        )
        kept.backoff_seconds = min(kept.backoff_seconds * 2, BACKOFF_SECONDS_MAX)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do it all at the same time; the first failure cancels the rest and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
