"""One run: start, inject, heal, check."""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from support.payments import PARTITIONS
from support.system import environment_of

from chaos import invariants
from chaos.bank import Bank, Webhook
from chaos.book import Book
from chaos.evidence import collect
from chaos.faults import FAULTS, HIDDEN_FAULTS, Fault, NotDone, Scene
from chaos.report import Report
from chaos.stage import Stage
from ostatok.errors import LocalError, OstatokError
from ostatok.local import processes
from ostatok.local.ports import free_port

QUIET_SECONDS_MAX = 900.0
"""How long the clients may take for the webhooks that are left once all faults are over."""
LOOK_SECONDS = 0.1
SAMPLE_SECONDS = 1.0

# What a second reader of the offsets can't be sure to see: every change, however short.
WATCH = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.went_back (partition integer, before bigint, after bigint);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.went_back VALUES (OLD.partition, OLD.next_offset, NEW.next_offset);
    RETURN NULL;
END
$$;
CREATE TRIGGER went_back AFTER UPDATE ON ostatok.applied_offset FOR EACH ROW
    WHEN (NEW.next_offset < OLD.next_offset) EXECUTE FUNCTION chaos.note();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is asked to do."""

    seed: int
    seconds: float
    webhooks: int
    faults: Sequence[str] = tuple(FAULTS)
    fault_seconds_max: float = 600
    lag_seconds_max: float = 60
    recovery_seconds_max: float = 90
    session_seconds: float = 15
    sabotage: str = ""
    workers: int = 1
    once: bool = False
    """Each fault once, however long that takes, instead of as many as fit into the time."""
    keep: bool = False
    say: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: T201


async def run(plan: Plan) -> tuple[Report, Book]:
    """Do it all; the report says whether everything held."""
    stage = Stage(session_seconds=plan.session_seconds, sabotage=plan.sabotage)
    plan.say(f"Seed {plan.seed}, data and logs in {stage.folder}")
    report, book = Report(plan.seed), Book()
    try:
        async with stage:
            await asyncio.to_thread(stage.run, WATCH)
            await stage.set_workers(plan.workers)
            plan.say("Everything runs.")
            book.started_at = time.monotonic()
            await _Run(plan, stage, book, report).play()
    finally:
        if not plan.keep:
            stage.remove()
    return report, book


class _Run:
    """The parts of a run that share its stage, its book and its report."""

    def __init__(self, plan: Plan, stage: Stage, book: Book, report: Report) -> None:
        self._plan = plan
        self._stage = stage
        self._book = book
        self._report = report
        # One source of chance for the schedule alone: what the clients do does not move it.
        self._pick = random.Random(plan.seed)

    async def play(self) -> None:
        """Inject while the clients post, then heal and check."""
        plan = self._plan
        given = {"webhooks": plan.webhooks, "seconds": plan.seconds}
        async with Bank(self._stage.url, self._book, plan.seed + 1, **given) as bank:  # type: ignore[arg-type]
            posting = asyncio.create_task(bank.run())
            sampling = asyncio.create_task(self._sample())
            try:
                await self._inject(bank)
                bank.finish()
                self._say("all healed")
                self._stage.heal()
                async with asyncio.timeout(QUIET_SECONDS_MAX):
                    await posting
            except TimeoutError:
                self._report.troubles.append("the clients did not come to an end")
            finally:
                for task in (posting, sampling):
                    task.cancel()
                ended = await asyncio.gather(posting, sampling, return_exceptions=True)
        self._report.troubles += [f"the harness: {one!r}" for one in ended if _is_failure(one)]
        self._say("the clients have ended")
        await self._wait_no_lag("ostatok", "after healing")
        self._say("reading the topic a second time")
        await self._read_again()
        self._say("checking")
        await asyncio.to_thread(self._check)

    async def _inject(self, bank: Bank) -> None:
        give_up_at = time.monotonic() + self._plan.seconds
        for fault in self._schedule():
            if not self._plan.once and time.monotonic() > give_up_at:
                return
            seconds = min(fault.seconds, self._plan.fault_seconds_max)
            scene = Scene(self._stage, bank, self._pick, seconds)
            self._say(fault.name)
            try:
                await fault.apply(scene)
            except NotDone as why:
                self._report.not_done[fault.name] = str(why)
                continue
            except LocalError as error:
                self._report.troubles.append(f"{fault.name}: {error}")
            finally:
                self._stage.heal()
            recovery = await self._recovery(bank, fault)
            self._report.recoveries.setdefault(fault.name, []).append(recovery)

    def _say(self, what: str) -> None:
        self._plan.say(f"{time.monotonic() - self._book.started_at:8.1f} s  {what}")

    def _schedule(self) -> Iterator[Fault]:
        """Every fault once in an order by chance, and again."""
        known = {**FAULTS, **HIDDEN_FAULTS}
        while True:
            names = list(self._plan.faults)
            self._pick.shuffle(names)
            yield from (known[name] for name in names)
            if self._plan.once:
                return

    async def _recovery(self, bank: Bank, fault: Fault) -> float:
        """Seconds until a fresh payment in each partition is taken and is in its balance."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._plan.recovery_seconds_max):
                probes = bank.probes(PARTITIONS)
                await asyncio.gather(*(self._is_visible(bank, probe) for probe in probes))
        except TimeoutError:
            self._report.troubles.append(
                f"{fault.name}: no recovery within {self._plan.recovery_seconds_max:g} s"
            )
        return time.monotonic() - started

    async def _is_visible(self, bank: Bank, probe: Webhook) -> None:
        while await bank.post(probe) != 200:  # noqa: ASYNC110  # asked of others
            await asyncio.sleep(LOOK_SECONDS)
        while await bank.balance(probe.inn) != probe.amount:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)

    async def _sample(self) -> None:
        """See now and then that no stored offset is beyond the end of its partition."""
        while True:
            with suppress(psycopg.Error, OstatokError):  # A service is away.
                await asyncio.to_thread(self._look_beyond)
            await asyncio.sleep(SAMPLE_SECONDS)

    def _look_beyond(self) -> None:
        stored = self._stage.offsets()
        ends = self._stage.ends()  # Asked after the offsets, so they can only have grown.
        self._report.troubles += [
            f"partition {one} is applied up to {upto}, beyond its end {ends[one]}"
            for one, upto in stored.items()
            if upto > ends[one]
        ]

    async def _wait_no_lag(self, schema: str, when: str) -> None:
        give_up_at = time.monotonic() + self._plan.lag_seconds_max
        lag: object = "unknown"
        while time.monotonic() < give_up_at:
            try:
                lag = await asyncio.to_thread(self._lag, schema)
            except (psycopg.Error, OstatokError) as error:
                lag = f"unknown ({error})"
            if lag == 0:
                return
            await asyncio.sleep(LOOK_SECONDS)
        self._report.troubles.append(
            f"{when} the lag is {lag} after {self._plan.lag_seconds_max:g} s"
        )

    def _lag(self, schema: str) -> int:
        return sum(self._stage.ends().values()) - sum(self._stage.offsets(schema).values())

    async def _read_again(self) -> None:
        """Read the whole topic into a second schema, with an honest worker."""
        changes = {"database_schema": "again", "stream_group": "again"}
        settings = self._stage.direct.model_copy(update=changes)
        await self._stage.migrate(settings)
        log = self._stage.log / "again"
        log.mkdir()
        given = processes.Given(environment_of(settings), log)
        await self._stage.add(*processes.stream_parts(given, [free_port()]))
        await self._wait_no_lag("again", "in the second reading")

    def _check(self) -> None:
        evidence = collect(self._stage, self._book)
        for name, check in invariants.CHECKS.items():
            self._report.found(name, check(evidence), evidence)
        for how, times in self._stage.deaths.items():
            self._plan.say(f"  started again: {how} {times} times")


def _is_failure(ended: object) -> bool:
    return isinstance(ended, Exception)


def show(report: Report, book: Book) -> None:
    """Print the tables."""
    sys.stdout.write("\n".join(report.lines(book)) + "\n")
