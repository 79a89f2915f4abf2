"""Every fault by its name: how it is done, how long it lasts, how it is undone."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.signals import send, with_children

from chaos import poison
from chaos.bank import Bank
from chaos.stage import REQUESTS_MAX, Stage, until
from chaos.worker import (
    AFTER_COMMIT,
    BEFORE_SQL,
    BETWEEN,
    COMMITTING,
    FENCE_PASSED,
    IN_TRANSACTION,
)

ARMED_SECONDS_MAX = 15.0
FILE_BYTES_MAX = 1024 * 1024


@dataclass(slots=True)
class Scene:
    """What a fault works on."""

    stage: Stage
    bank: Bank
    pick: Random
    seconds: float
    """How long a fault lasts that lasts."""


class NotDone(Exception):  # the reason why nothing happened
    """The fault did not come about."""


Step = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: ``apply`` does it and keeps it up, until :meth:`Stage.heal` undoes it.

    Recovery is measured from then on. ``seconds`` is how long it lasts in a long run, for those
    that last.
    """

    name: str
    apply: Step
    seconds: float = 0


def _kill(part: str) -> Step:
    async def apply(scene: Scene) -> None:
        scene.stage.kill(part, scene.pick)

    return apply


def _freeze(part: str) -> Step:
    async def apply(scene: Scene) -> None:
        scene.stage.freeze(scene.stage.family(part, scene.pick))
        await asyncio.sleep(scene.seconds)

    return apply


def _point(point: str, action: str) -> Step:
    """The next worker that comes to the point does it to itself."""

    async def apply(scene: Scene) -> None:
        await _reached(scene, point, action)
        if action == "freeze":
            await asyncio.sleep(scene.seconds)

    return apply


async def _reached(scene: Scene, point: str, action: str, order: str = "") -> None:
    """Arm a point and wait until a worker came by."""
    armed = scene.stage.points / f"{point}.{action}"
    written = armed.with_name("order")
    written.write_text(order, encoding="ascii")
    written.rename(armed)
    try:
        await until(lambda: not armed.exists(), ARMED_SECONDS_MAX)
    except TimeoutError:
        raise NotDone("no worker came to the point") from None


def _down(part: str, *, rebalance: bool = False) -> Step:
    async def apply(scene: Scene) -> None:
        if rebalance:
            await scene.stage.set_workers(2)
            scene.stage.kill("stream", scene.pick)
        await scene.stage.hold(part)
        await asyncio.sleep(scene.seconds)

    return apply


async def _broker_five_times(scene: Scene) -> None:
    for _ in range(5):
        scene.stage.kill("kafka", scene.pick)
        # Somewhere between its first steps and its being well.
        await asyncio.sleep(scene.pick.uniform(1, 5))


async def _postgres_quits(scene: Scene) -> None:
    """`immediate` while a worker commits: no checkpoint, no word to anybody.

    The worker sends the signal itself, a moment after its COMMIT is on the way: sometimes the
    server has not seen it, sometimes it is in the middle, sometimes only the answer is lost.
    """
    (postmaster,) = scene.stage.pids("postgres")
    await _reached(scene, COMMITTING, "quit", f"{postmaster} {scene.pick.uniform(0, 0.01)}")


async def _workers_come_and_go(scene: Scene) -> None:
    for many in (3, 2, 3, 1):
        await scene.stage.set_workers(many)


def _wire(proxy: str, what: str) -> Step:
    async def apply(scene: Scene) -> None:
        wire = scene.stage.proxies[proxy]
        if what == "delay":
            wire.delay(scene.pick.uniform(0.05, 0.3))
        elif what == "cut":
            wire.cut()
        else:
            wire.swallow()
        await asyncio.sleep(scene.seconds)

    return apply


async def _fill_the_queue(scene: Scene) -> None:
    scene.stage.freeze(scene.stage.pids("kafka"))
    await scene.bank.flood(6 * REQUESTS_MAX)


async def _kill_http_before_the_ack(scene: Scene) -> None:
    """Whatever was answered 200 by then must be there: the broker has seen nothing of the rest."""
    scene.stage.freeze(scene.stage.pids("kafka"))
    await scene.bank.flood(REQUESTS_MAX // 4)
    send(scene.stage.pids("http"), signal.SIGKILL)


async def _fill_the_disk(scene: Scene) -> None:
    """The file system of Postgres has no free block, until it is healed.

    Unlike a full disk in production it is full at one stroke, nothing else lives on it, and what
    mends it is that the space is free again.
    """
    if not scene.stage.disk.is_mounted:
        raise NotDone(f"no file system can be mounted here: {scene.stage.disk.why_not}")
    scene.stage.disk.fill()
    await asyncio.sleep(scene.seconds)


async def _limit_the_files(scene: Scene) -> None:
    """No file of Postgres can be written beyond its first MiB (RLIMIT_FSIZE).

    Unlike a full disk the error is EFBIG, not ENOSPC; small files still grow and new ones can be
    made; and a server that ends over it is started again without the limit.
    """
    limited = [one for own in scene.stage.pids("postgres") for one in with_children(own)]
    _limit_files(limited, f"{FILE_BYTES_MAX}:unlimited")
    await asyncio.sleep(scene.seconds)
    running = [one for own in scene.stage.pids("postgres") for one in with_children(own)]
    _limit_files(running, "unlimited:unlimited")


def _limit_files(pids: list[int], limit: str) -> None:
    for pid in pids:
        with suppress(FileNotFoundError):  # A child that has ended meanwhile.
            # The limits of another user's process are not even root's to change everywhere.
            owner = Path(f"/proc/{pid}").stat()
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            subprocess.run(
                ["prlimit", "--pid", str(pid), f"--fsize={limit}"],
                check=False,
                capture_output=True,
                **(as_owner if os.geteuid() == 0 else {}),  # type: ignore[call-overload]
            )
    if not limit.startswith("unlimited"):
        text = Path(f"/proc/{pids[0]}/limits").read_text(encoding="ascii")
        if limit.partition(":")[0] not in text:
            raise NotDone("the limits of another process can't be changed here")


async def _poison(scene: Scene) -> None:
    await poison.produce(scene.stage.direct, scene.pick)


_ALL = (
    Fault("kill-http", _kill("http")),
    Fault("kill-stream", _kill("stream")),
    Fault("kill-kafka", _kill("kafka")),
    Fault("kill-postgres", _kill("postgres")),
    Fault("freeze-http", _freeze("http"), 30),
    Fault("freeze-stream", _freeze("stream"), 30),
    Fault("freeze-kafka", _freeze("kafka"), 30),
    Fault("freeze-postgres", _freeze("postgres"), 30),
    Fault("kill-before-sql", _point(BEFORE_SQL, "kill")),
    Fault("kill-in-transaction", _point(IN_TRANSACTION, "kill")),
    Fault("kill-after-commit", _point(AFTER_COMMIT, "kill")),
    Fault("freeze-in-transaction", _point(IN_TRANSACTION, "freeze"), 40),
    Fault("term-in-transaction", _point(IN_TRANSACTION, "end")),
    Fault("kafka-five-kills", _broker_five_times),
    Fault("kafka-down-in-rebalance", _down("kafka", rebalance=True), 180),
    Fault("postgres-immediate", _postgres_quits),
    Fault("postgres-down", _down("postgres"), 180),
    Fault("workers-1-3-1", _workers_come_and_go),
    Fault("kafka-delay", _wire("kafka", "delay"), 20),
    Fault("kafka-cut", _wire("kafka", "cut"), 10),
    Fault("kafka-black-hole", _wire("kafka", "swallow"), 30),
    Fault("postgres-delay", _wire("postgres", "delay"), 20),
    Fault("postgres-cut", _wire("postgres", "cut"), 10),
    Fault("postgres-black-hole", _wire("postgres", "swallow"), 30),
    Fault("queue-full", _fill_the_queue),
    Fault("kill-http-before-ack", _kill_http_before_the_ack),
    Fault("disk-full", _fill_the_disk, 20),
    Fault("file-size-limit", _limit_the_files, 20),
    Fault("poison", _poison),
)
FAULTS = {fault.name: fault for fault in _ALL}

# Only of use against a sabotage: where the honest worker has nothing to be caught at.
_FOR_SABOTAGES = (
    Fault("kill-between", _point(BETWEEN, "kill")),
    Fault("freeze-past-the-fence", _point(FENCE_PASSED, "freeze"), 20),
)
HIDDEN_FAULTS = {fault.name: fault for fault in _FOR_SABOTAGES}
