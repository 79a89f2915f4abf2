"""What the embedded Postgres and the embedded Kafka have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from ostatok.local.parts import Part, Running

Progress = Callable[[str], None]


def silent(_text: str) -> None:
    """Be the progress that nobody watches."""


class Service(ABC):
    """An embedded service. A test uses it directly; ``up`` gives its part to the supervisor."""

    _running: Running | None = None

    @abstractmethod
    async def prepare(self, progress: Progress = silent) -> None:
        """Make everything that a start needs; quick when it is there already."""

    @abstractmethod
    def part(self) -> Part:
        """Give the process to run. Call ``prepare`` first."""

    @property
    def pid(self) -> int | None:
        """The id of the process that ``start`` started, while it runs."""
        alive = self._running is not None and self._running.exit_code is None
        return self._running.pid if alive and self._running else None

    async def start(self, progress: Progress = silent) -> Self:
        """Prepare, start and wait until it is ready. Does nothing when it runs already."""
        if self.pid is None:
            await self.prepare(progress)
            self._running = Running(self.part())
            try:
                await self._running.wait_ready()
            except BaseException:
                await self.kill()
                raise
        return self

    async def stop(self) -> None:
        """End it in order, or by SIGKILL after its limit."""
        if self._running is not None:
            await self._running.stop()

    async def restart(self) -> None:
        """Stop it in order and start it again on the same port."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """SIGKILL it, as a crash or the kernel would, and wait for its end."""
        if self._running is not None:
            self._running.kill()
