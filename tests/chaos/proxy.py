"""A TCP proxy on loopback that delays, cuts, or swallows what passes."""

import asyncio
from contextlib import suppress
from typing import Self

from ostatok.local.ports import free_port

CHUNK_BYTES = 65_536


class Proxy:
    """Passes connections on to a port, until told to be unkind."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.port = free_port()
        self._target = target
        self._delay_seconds = 0.0
        self._refusing = False
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut everything and listen no more."""
        self._server.close()
        self._refusing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._cut()

    def delay(self, seconds: float) -> None:
        """From now on every piece that passes takes so long."""
        self._delay_seconds = seconds

    def swallow(self) -> None:
        """Take connections and bytes, and pass nothing on: no end, no answer, no error."""
        self._passing.clear()

    def cut(self) -> None:
        """End all connections at once, and refuse new ones."""
        self._refusing = True
        self._cut()

    def heal(self) -> None:
        """Be a wire again; what was swallowed goes on as TCP would send it again."""
        self._delay_seconds = 0.0
        self._refusing = False
        self._passing.set()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self._refusing:
                return
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(there)
            await asyncio.gather(self._pass(reader, there), self._pass(answers, writer))
        except (OSError, RuntimeError, asyncio.CancelledError):
            pass  # Whoever it was is gone (uvloop has a RuntimeError for it), or the proxy ends.
        finally:
            self._tasks.discard(task)
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    with suppress(OSError, RuntimeError):
                        one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
