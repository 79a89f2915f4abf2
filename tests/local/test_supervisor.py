"""The supervisor, on small parts that do what a test wants."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ostatok.errors import LocalError
from ostatok.local.parts import LOG_BYTES_MAX, Part, Running, gone, is_alive
from ostatok.local.supervisor import Supervisor, together

# Notes in a file when it has begun and when it ends on SIGTERM, after a while.
NOTING = """
import signal, sys, time
name, seconds, notes = sys.argv[1], float(sys.argv[2]), sys.argv[3]
def note(what):
    with open(notes, "a") as file: file.write(f"{what} {name}\\n")
def end(*_):
    note("asked"); time.sleep(seconds); note("ended"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("began")
while True: signal.pause()
"""
# The same when its input has ended.
HELD = f"""
import sys
with open(sys.argv[3], "a") as file: file.write(f"loaded {{sys.argv[1]}}\\n")
sys.stdin.read()
{NOTING}"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


class Scene:
    """A supervisor and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(say=self.said.append, changed=self._changed)

    def part(self, name: str, code: str = NOTING, seconds: float = 0, limit: float = 4) -> Part:
        """Give a part that runs Python code, ready when it has noted that it began."""

        async def ready() -> bool:
            return code == STUBBORN or f"began {name}" in self.noted()

        return Part(
            name=name,
            argv=(sys.executable, "-c", code, name, str(seconds), str(self.notes)),
            environment={},
            log=self.folder / f"{name}.log",
            ready=ready,
            ready_seconds=10,
            stop_seconds=limit,
        )

    def noted(self) -> list[str]:
        """Give what the parts have noted."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def _changed(self) -> None:
        self.changes += 1


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is awaited is in other processes
            await asyncio.sleep(0.02)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Give a scene, and stop what it started."""
    scene = Scene(tmp_path)
    yield scene
    await scene.supervisor.stop()


async def test_a_dead_part_is_started_again_and_said_so(scene: Scene) -> None:
    """A part that dies is back soon, with one line for its death and one for its return."""
    await scene.supervisor.start([scene.part("http")])
    (first,) = scene.supervisor.pids("http")
    watch = asyncio.create_task(scene.supervisor.watch())
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(scene.said) == 2)
    (second,) = scene.supervisor.pids("http")
    watch.cancel()
    assert second != first
    assert scene.said[0].startswith("http ended by itself (SIGKILL); it is started again in 0.5 s")
    assert scene.said[1] == f"http was started again (process {second})."
    assert scene.changes == 2


async def test_patience_grows_with_each_death(scene: Scene) -> None:
    """A part that dies at once again is given twice the time before its next start."""
    await scene.supervisor.start([scene.part("http", "raise SystemExit(3)")], wait=False)
    watch = asyncio.create_task(scene.supervisor.watch())
    await until(lambda: len(scene.said) == 3)
    watch.cancel()
    assert "(exit 3); it is started again in 0.5 s" in scene.said[0]
    assert "(exit 3); it is started again in 1 s" in scene.said[2]


async def test_who_uses_a_service_goes_before_it(scene: Scene) -> None:
    """Stopped at the same time: http and stream; after both have ended: kafka and postgres."""
    names = ("postgres", "kafka", "http", "stream")
    await scene.supervisor.start([scene.part(name, seconds=0.3) for name in names])
    assert await scene.supervisor.stop() == []
    ends = scene.noted()[4:]
    assert set(ends[:2]) == {"asked http", "asked stream"}
    assert set(ends[2:4]) == {"ended http", "ended stream"}
    assert set(ends[4:6]) == {"asked kafka", "asked postgres"}


async def test_a_held_part_loads_and_begins_when_told(scene: Scene) -> None:
    """Held back, a part does nothing until it may begin; started again, it begins by itself."""
    part = scene.part("http", HELD)
    scene.supervisor.hold([part])
    await until(lambda: scene.noted() == ["loaded http"])
    assert not await part.ready()
    await scene.supervisor.begin([part])
    assert scene.noted() == ["loaded http", "began http"]
    watch = asyncio.create_task(scene.supervisor.watch())
    os.kill(scene.supervisor.pids("http")[0], signal.SIGKILL)
    await until(lambda: scene.noted()[2:] == ["loaded http", "began http"])
    watch.cancel()


async def test_what_was_not_held_starts_when_all_begin(scene: Scene) -> None:
    """Of many parts only some are held; the rest start with them, and all are waited for."""
    held, other = scene.part("http", HELD), scene.part("stream")
    scene.supervisor.hold([held])
    await scene.supervisor.begin([held, other])
    assert sorted(scene.noted()) == ["began http", "began stream", "loaded http"]


async def test_a_held_part_that_ends_is_found(scene: Scene) -> None:
    """Before the others begin, whoever started them can see that one of them can't."""
    scene.supervisor.hold([scene.part("http", HELD), scene.part("stream", "raise SystemExit(3)")])
    await until(lambda: len(scene.supervisor.pids("stream")) == 0)
    with pytest.raises(LocalError, match="exit 3"):
        scene.supervisor.require_alive()


async def test_a_held_part_can_be_stopped(scene: Scene) -> None:
    """When a start fails, the parts that were held go too, at once and without having begun."""
    scene.supervisor.hold([scene.part("http", HELD)])
    await until(lambda: scene.noted() == ["loaded http"])
    (pid,) = scene.supervisor.pids("http")
    assert await scene.supervisor.stop() == []
    assert not is_alive(pid)
    assert scene.noted() == ["loaded http"]


async def test_a_part_that_will_not_end_is_killed_and_named(scene: Scene) -> None:
    """Past its limit a part is killed: nobody waits longer, and nothing is left."""
    await scene.supervisor.start([scene.part("http", STUBBORN, limit=0.3)])
    (pid,) = scene.supervisor.pids("http")
    await asyncio.sleep(0.3)  # until it ignores the signal
    began = time.monotonic()
    assert await scene.supervisor.stop() == ["http"]
    assert time.monotonic() - began < 1
    assert not is_alive(pid)


async def test_a_failed_start_shows_the_end_of_the_log(scene: Scene) -> None:
    """A part that ends before it is ready fails the start, in the words of its own log."""
    code = "raise SystemExit('OSTATOK_TOPIC: must be a name.')"
    with pytest.raises(LocalError, match=r"^http ended by itself \(exit 1\)") as caught:
        await scene.supervisor.start([scene.part("http", code)])
    assert "OSTATOK_TOPIC: must be a name." in (caught.value.hint or "")


async def test_a_part_that_never_gets_ready_fails_the_start(scene: Scene) -> None:
    """Readiness has a limit, and the error names it."""
    with pytest.raises(LocalError, match=r"^stream was not ready after 0.2 s\.$"):
        await scene.supervisor.start([_never(scene)])


async def test_the_first_failure_ends_the_rest() -> None:
    """Of several things done together, one that fails cancels the others before it is raised."""
    cancelled = False

    async def waits() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled = True

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LocalError

    with pytest.raises(LocalError):
        await together(waits(), fails())
    assert cancelled


async def test_a_long_log_is_begun_anew(scene: Scene) -> None:
    """A log over its limit becomes the .1 of a new one when its part starts."""
    part = scene.part("http", "print('new')")
    assert part.log is not None
    part.log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))
    await Running(part).wait_success()
    assert part.log.read_text() == "new\n"
    assert part.log.with_name("http.log.1").stat().st_size == LOG_BYTES_MAX + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
async def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    """After a kill -9 of the supervisor its parts get their own stop signal."""
    code = f"""
import signal, sys
from pathlib import Path
from ostatok.local.parts import Part, Running
folder = Path({str(tmp_path)!r})
part = Part(name="x", argv=(sys.executable, "-c", "import time; time.sleep(60)"), environment={{}},
            log=folder / "x.log")
print(Running(part).pid, flush=True)
signal.pause()
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    child = int(await supervisor.stdout.readline())
    assert is_alive(child)
    supervisor.kill()
    await supervisor.wait()
    assert await gone(child, seconds=5)


def _never(scene: Scene) -> Part:
    async def never() -> bool:
        await asyncio.sleep(0)
        return False

    ready: Callable[[], Awaitable[bool]] = never
    return Part(
        name="stream",
        argv=(sys.executable, "-c", "import time; time.sleep(60)"),
        environment={},
        log=scene.folder / "stream.log",
        ready=ready,
        ready_seconds=0.2,
    )
