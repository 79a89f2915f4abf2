"""Every fault by its name: how it is done, how long it lasts, how it is undone."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from support import foreign
from support.payments import PARTITIONS
from support.signals import with_children

from chaos.bank import Bank
from chaos.limits import limit_files
from chaos.points import (
    AFTER_COMMIT,
    BEFORE_SQL,
    BETWEEN,
    COMMITTING,
    FENCE_PASSED,
    IN_TRANSACTION,
    taken_by,
)
from chaos.stage import REQUESTS_MAX, WORKERS_MAX, Stage, until
from ostatok.local.parts import gone

ARMED_SECONDS_MAX = 15.0
REBALANCE_SECONDS_MAX = 30.0
REBALANCES = b"because it is rebalancing"
"""aiokafka says so when a heartbeat was answered like that."""
ZOMBIE_SECONDS = 3.0
"""By how much longer than its session a frozen worker sleeps."""
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


def _some(pids: list[int], what: str) -> list[int]:
    if not pids:
        raise NotDone(f"no process of {what} was running")
    return pids


def _kill(part: str) -> Step:
    async def apply(scene: Scene) -> None:
        scene.stage.kill(_some(scene.stage.family(part, scene.pick), part))

    return apply


def _freeze(part: str) -> Step:
    async def apply(scene: Scene) -> None:
        scene.stage.freeze(_some(scene.stage.family(part, scene.pick), part))
        await asyncio.sleep(scene.seconds)

    return apply


def _zombie(apply: Step) -> Step:
    """Freeze a worker for longer than its session, with another there to take its partitions."""

    async def apply_longer(scene: Scene) -> None:
        await scene.stage.set_workers(max(2, scene.stage.workers))
        scene.seconds = max(scene.seconds, scene.stage.session_seconds + ZOMBIE_SECONDS)
        await apply(scene)

    return apply_longer


def _point(point: str, action: str) -> Step:
    """The next worker that comes to the point does it to itself."""

    async def apply(scene: Scene) -> None:
        await _reached(scene, point, action)
        if action == "freeze":
            await asyncio.sleep(scene.seconds)

    return apply


async def _reached(scene: Scene, point: str, action: str, order: str = "") -> None:
    """Arm a point and wait until a worker came by."""
    ordered = scene.stage.ordered
    named = {int(order.split(maxsplit=1)[0])} if order else set()
    ordered |= named  # Beforehand: it may be gone before anybody looks.
    armed = scene.stage.points / f"{point}.{action}"
    written = armed.with_name("order")
    written.write_text(order, encoding="ascii")
    written.rename(armed)
    try:
        await until(lambda: taken_by(armed), ARMED_SECONDS_MAX)
    except TimeoutError:
        ordered -= named
        raise NotDone("no worker came to the point") from None
    if action in {"kill", "end"} and (taker := taken_by(armed)):
        ordered.add(taker)


def _down(part: str) -> Step:
    async def apply(scene: Scene) -> None:
        _some(scene.stage.pids(part), part)
        await scene.stage.hold(part)
        await asyncio.sleep(scene.seconds)

    return apply


async def _broker_down_in_a_rebalance(scene: Scene) -> None:
    """A worker more makes the group rebalance; the broker dies as soon as another is told so."""
    stage = scene.stage
    await stage.set_workers(WORKERS_MAX - 1)
    before = _rebalances(stage)
    stage.start_worker()
    try:
        await until(lambda: _rebalances(stage) > before, REBALANCE_SECONDS_MAX)
    except TimeoutError:
        raise NotDone("no worker was told that the group rebalances") from None
    await _down("kafka")(scene)


def _rebalances(stage: Stage) -> int:
    """How often a worker was told by a heartbeat; of logs that were rotated, since then."""
    return sum(path.read_bytes().count(REBALANCES) for path in stage.log.glob("stream-*.log"))


async def _broker_five_times(scene: Scene) -> None:
    for _ in range(5):
        try:
            await until(lambda: scene.stage.pids("kafka"), ARMED_SECONDS_MAX)
        except TimeoutError:
            raise NotDone("the broker was not started again") from None
        scene.stage.kill(scene.stage.pids("kafka"))
        # Somewhere between its first steps and its being well.
        await asyncio.sleep(scene.pick.uniform(1, 5))


async def _postgres_quits(scene: Scene) -> None:
    """`immediate` while a worker commits: no checkpoint, no word to anybody.

    The worker sends the signal itself, a moment after its COMMIT is on the way: sometimes the
    server has not seen it, sometimes it is in the middle, sometimes only the answer is lost.
    """
    (postmaster,) = _some(scene.stage.pids("postgres"), "postgres")
    await _reached(scene, COMMITTING, "quit", f"{postmaster} {scene.pick.uniform(0, 0.01)}")
    if not await gone(postmaster, ARMED_SECONDS_MAX):
        raise NotDone("the server did not quit")


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
    full = scene.bank.book.problems["full"]
    scene.stage.freeze(_some(scene.stage.pids("kafka"), "kafka"))
    await scene.bank.flood(6 * REQUESTS_MAX)
    if scene.bank.book.problems["full"] == full:
        raise NotDone("no webhook was refused because the queue is full")


async def _kill_http_before_the_ack(scene: Scene) -> None:
    """Whatever was answered 200 by then must be there: the broker has seen nothing of the rest."""
    scene.stage.freeze(_some(scene.stage.pids("kafka"), "kafka"))
    await scene.bank.flood(REQUESTS_MAX // 4)
    scene.stage.kill(_some(scene.stage.pids("http"), "http"))


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
    if not limit_files(limited, f"{FILE_BYTES_MAX}:unlimited"):
        raise NotDone("the limits of another process can't be changed here")
    await asyncio.sleep(scene.seconds)
    running = [one for own in scene.stage.pids("postgres") for one in with_children(own)]
    if running:
        limit_files(running, "unlimited:unlimited")


async def _poison(scene: Scene) -> None:
    """One record of each kind that no receiver writes, in an order by chance."""
    records = foreign.strange_records()
    scene.pick.shuffle(records)
    partition, settings = scene.pick.randrange(PARTITIONS), scene.stage.direct
    try:
        await asyncio.to_thread(foreign.produce, settings, records)
        await asyncio.to_thread(foreign.produce_nameless, settings, partition)
    except (AssertionError, subprocess.SubprocessError) as error:
        raise NotDone(f"the records could not be written: {error}") from error


_ALL = (
    Fault("kill-http", _kill("http")),
    Fault("kill-stream", _kill("stream")),
    Fault("kill-kafka", _kill("kafka")),
    Fault("kill-postgres", _kill("postgres")),
    Fault("freeze-http", _freeze("http"), 30),
    Fault("freeze-stream", _zombie(_freeze("stream")), 30),
    Fault("freeze-kafka", _freeze("kafka"), 30),
    Fault("freeze-postgres", _freeze("postgres"), 30),
    Fault("kill-before-sql", _point(BEFORE_SQL, "kill")),
    Fault("kill-in-transaction", _point(IN_TRANSACTION, "kill")),
    Fault("kill-after-commit", _point(AFTER_COMMIT, "kill")),
    Fault("freeze-in-transaction", _zombie(_point(IN_TRANSACTION, "freeze")), 40),
    Fault("term-in-transaction", _point(IN_TRANSACTION, "end")),
    Fault("kafka-five-kills", _broker_five_times),
    Fault("kafka-down-in-rebalance", _broker_down_in_a_rebalance, 180),
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
LEAVE_HTTP_ALONE = frozenset(
    name
    for name in FAULTS
    if name.startswith(("kafka-", "postgres-"))
    or name.endswith(("-kafka", "-postgres"))
    or name in {"disk-full", "file-size-limit", "queue-full"}
)
"""Only Kafka or Postgres is hurt: every webhook must get its answer in time."""

# Only of use against a sabotage: where the honest worker has nothing to be caught at.
_FOR_SABOTAGES = (
    Fault("kill-between", _point(BETWEEN, "kill")),
    Fault("freeze-a-moment-in-transaction", _point(IN_TRANSACTION, "freeze"), 1),
    Fault("freeze-past-the-fence", _point(FENCE_PASSED, "freeze"), 20),
)
HIDDEN_FAULTS = {fault.name: fault for fault in _FOR_SABOTAGES}
