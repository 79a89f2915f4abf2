"""A load of HTTP requests from a process of its own, so that it shares no loop with anything.

It shares the cores with what it measures, so it does the least there is to do for a request: the
bytes are made beforehand, and of an answer it reads the status and where it ends.

``python -m bench.load --port 8000 --connections 64 JOBS`` prints a :class:`Result` as JSON.
"""

import argparse
import asyncio
import gc
import math
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

SECONDS_MAX = 600.0
TIMER_SECONDS = 0.001
"""As fine as the loop's timers are."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Requests that one connection sends one after the other; done with the last answer."""

    requests: Sequence[bytes]
    timed: bool = True
    """Whether its latency counts."""


class Result(msgspec.Struct, frozen=True):
    """What was seen. Jobs of the warm-up count in ``statuses`` and ``cpu_seconds`` alone."""

    seconds: float
    """From the end of the warm-up to the last answer."""
    ended_at: float
    """When the last answer was there, by ``time.perf_counter``: Linux has one for all processes."""
    per_second: float
    """Jobs done in a second."""
    statuses: dict[int, int]
    """How many answers had which status."""
    p50_ms: float
    p99_ms: float
    """Of the timed jobs' latencies: from when a job was due until its last answer was there."""
    cpu_seconds: float
    """Processor time of the load itself."""


def write_jobs(path: Path, jobs: Iterable[Job]) -> Path:
    """Keep jobs in a file for any number of loads."""
    path.write_bytes(msgspec.msgpack.encode(list(jobs)))
    return path


async def load(  # noqa: PLR0913 - what a load is, by name
    port: int,
    jobs: Path,
    *,
    connections: int,
    rate: float = 0.0,
    warmup: int = 0,
    seconds: float = 0.0,
) -> Result:
    """Do the jobs of a file, and give what was seen.

    With a ``rate`` so many become due in a second whether or not the earlier ones are done, and
    latency counts from then; without, each connection begins its next job when it has done one.
    The first ``warmup`` jobs are not measured. ``seconds`` after them, if given, no more are begun:
    the jobs done are then the file's first. Raises AssertionError when anything but complete
    answers came.
    """
    arguments = (f"--port={port}", f"--connections={connections}", f"--rate={rate}")
    limits = (f"--warmup={warmup}", f"--seconds={seconds}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load", *arguments, *limits, str(jobs)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours to hear.
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"The load broke off: {complaint.decode()[-2000:]}"
    return msgspec.json.decode(said, type=Result)


async def at_rate(rate: float, many: int, begin: Callable[[int, float], None]) -> None:
    """Call ``begin(number, when it was due)`` for each at its time, up to 1 ms late.

    Times are those of ``time.perf_counter``; the loop's own clock is a millisecond coarse.
    """
    started = time.perf_counter()
    for number in range(many):
        due = started + number / rate
        # The loop's timers may fire a little early. Less than they know would not sleep but spin.
        while (left := due - time.perf_counter()) > 0:  # noqa: ASYNC110  # no event tells the time
            await asyncio.sleep(max(left, TIMER_SECONDS))
        begin(number, due)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of them don't exceed; NaN of none."""
    if not values:
        return float("nan")
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


class _Client:
    """Hands the jobs out and counts what comes back."""

    def __init__(
        self, port: int, jobs: Sequence[Job], rate: float, warmup: int, seconds: float
    ) -> None:
        self.port = port
        self.statuses: Counter[bytes] = Counter()
        self._jobs = jobs
        self._next: Iterator[Job] = iter(() if rate else jobs)
        self._rate = rate
        self._warmup = warmup
        self._seconds = seconds or math.inf
        self._wanted = len(jobs)
        self._handed_out = 0
        self._done = 0
        self._late: deque[tuple[Job, float]] = deque()
        self._free: list[_Connection] = []
        self._latencies: list[float] = []
        self._began = 0.0

    async def run(self, connections: int) -> Result:
        """Do all jobs."""
        self._finished: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        opened = [_Connection(self) for _ in range(connections)]
        for connection in opened:
            await connection.connect()
        self._began, cpu = time.perf_counter(), time.process_time()
        for connection in opened:
            self.take(connection)
        if self._rate:
            await at_rate(self._rate, len(self._jobs), self._begin)
        seconds = await self._finished - self._began
        return Result(
            seconds=seconds,
            ended_at=self._began + seconds,
            per_second=(self._done - self._warmup) / seconds,
            statuses={int(status): many for status, many in self.statuses.items()},
            p50_ms=1000 * percentile(self._latencies, 0.5),
            p99_ms=1000 * percentile(self._latencies, 0.99),
            cpu_seconds=time.process_time() - cpu,
        )

    def take(self, connection: "_Connection") -> None:
        """Give a connection that has nothing to do its next job."""
        job = next(self._next, None)
        if job is not None:
            self._handed_out += 1
            connection.begin(job, time.perf_counter())
        elif self._late:
            connection.begin(*self._late.popleft())
        else:
            self._free.append(connection)

    def done(self, job: Job, since: float) -> None:
        """Count a job that has all its answers."""
        now = time.perf_counter()
        self._done += 1
        if job.timed and self._done > self._warmup:
            self._latencies.append(now - since)
        if self._done == self._warmup:
            self._began = now
        if now - self._began > self._seconds and self._done > self._warmup:
            self._next, self._wanted = iter(()), self._handed_out
        if self._done == self._wanted and not self._finished.done():
            self._finished.set_result(now)

    def fail(self, why: str) -> None:
        """End the run: what would be measured from here on means nothing."""
        if not self._finished.done():
            self._finished.set_exception(ConnectionError(why))

    def _begin(self, number: int, due: float) -> None:
        if self._finished.done():
            self._finished.result()  # It failed.
        job = self._jobs[number]
        if self._free:
            self._free.pop().begin(job, due)
        else:
            self._late.append((job, due))


_find_length = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE).search
_says_close = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE).search


class _Connection(asyncio.Protocol):
    """One connection, kept alive as long as the server wants."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._part = b""
        self._waits = False

    async def connect(self) -> None:
        """Connect, for the first time or again."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._client.port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits:
            self._client.fail(f"A connection ended before the answer ({exc}).")

    def begin(self, job: Job, since: float) -> None:
        """Send a job's first request. Its latency counts from ``since``."""
        self._job, self._since = job, since
        self._requests = iter(job.requests)
        self._send(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
        end = data.find(b"\r\n\r\n")
        self._part = data
        if end < 0:
            return
        length = _find_length(data, 0, end + 2)
        if length is None:
            self._client.fail(f"An answer does not say how long it is: {data[:200]!r}")
        elif len(data) >= end + 4 + int(length[1]):
            self._part = b""
            self._waits = False
            self._client.statuses[data[9:12]] += 1
            if _says_close(data, 0, end + 2):
                self._again = asyncio.ensure_future(self._go_on_anew())
            else:
                self._go_on()

    def _go_on(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._send(request)
            return
        self._client.done(self._job, self._since)
        self._client.take(self)

    async def _go_on_anew(self) -> None:
        self._transport.close()
        try:
            await self.connect()
        except OSError as error:
            self._client.fail(f"Connecting again failed: {error}")
        else:
            self._go_on()

    def _send(self, request: bytes) -> None:
        self._waits = True
        self._transport.write(request)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--warmup", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("jobs", type=Path)
    given = parser.parse_args()
    jobs = msgspec.msgpack.decode(given.jobs.read_bytes(), type=list[Job])
    client = _Client(given.port, jobs, given.rate, given.warmup, given.seconds)
    gc.disable()  # Nothing here makes a circle, and looking through all the jobs takes its time.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(client.run(given.connections))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    _main()
