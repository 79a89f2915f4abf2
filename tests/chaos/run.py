"""One run: start, inject, heal, check."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from support.payments import PARTITIONS

from chaos import invariants
from chaos.bank import Bank, Webhook
from chaos.book import Book
from chaos.ends import unexpected
from chaos.evidence import Evidence, collect
from chaos.faults import FAULTS, HIDDEN_FAULTS, LEAVE_HTTP_ALONE, Fault, NotDone, Scene
from chaos.report import Report
from chaos.stage import Stage
from chaos.view import SET_BACK, WATCH
from ostatok.errors import LocalError, OstatokError
from ostatok.local import processes
from ostatok.local.ports import free_port
from ostatok.local.processes import environment_of
from ostatok.settings import Settings

QUIET_SECONDS_MAX = 900.0
"""How long the clients may take for the webhooks that are left once all faults are over."""
TRIES = 3
READING_SECONDS_MAX = 600.0  # The whole topic is read: not a matter of recovery.
LOOK_SECONDS = 0.1
SAMPLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is asked to do."""

    seed: int
    seconds: float
    webhooks: int
    faults: Sequence[str] = tuple(FAULTS)
    fault_seconds_max: float = 180
    lag_seconds_max: float = 60
    recovery_seconds_max: float = 90
    session_seconds: float = 15
    sabotage: str = ""
    workers: int = 2
    once: bool = False
    """Each fault once, however long that takes, instead of as many as fit into the time."""
    keep: bool = False


async def run(plan: Plan) -> tuple[Report, Book]:
    """Do it all; the report says whether everything held."""
    stage = Stage(session_seconds=plan.session_seconds, sabotage=plan.sabotage)
    say(f"Seed {plan.seed}, data and logs in {stage.folder}")
    report, book = Report(plan.seed), Book()
    try:
        async with stage:
            await asyncio.to_thread(stage.view.run, WATCH)
            await stage.set_workers(plan.workers)
            say("Everything runs.")
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
        pace = {"webhooks": plan.webhooks, "seconds": plan.seconds}
        async with Bank(self._stage.url, self._book, plan.seed + 1, **pace) as bank:  # type: ignore[arg-type]
            posting = asyncio.create_task(bank.run())
            sampling = asyncio.create_task(self._sample())
            try:
                await self._inject(bank)
                bank.finish()
                self._stage.heal()
                self._say("all healed")
                await self._wait_applied_since()
                async with asyncio.timeout(QUIET_SECONDS_MAX):
                    await posting
            except TimeoutError:
                self._report.troubles.append("the clients did not come to an end")
            finally:
                for task in (posting, sampling):
                    task.cancel()
                ended = await asyncio.gather(posting, sampling, return_exceptions=True)
        self._report.troubles += [
            f"the harness: {one!r}" for one in ended if isinstance(one, Exception)
        ]
        self._say("the clients have ended")
        await self._wait_no_lag("ostatok", "after healing")
        self._say("reading the topic a second time")
        await self._read_again()
        self._say("checking")
        evidence = await asyncio.to_thread(self._check)
        self._say("reading the topic again into the same ledger")
        await self._read_into_the_same(evidence)
        self._judge()

    async def _inject(self, bank: Bank) -> None:
        give_up_at = time.monotonic() + self._plan.seconds
        for fault in self._schedule():
            if not self._plan.once and time.monotonic() > give_up_at:
                return
            # Once means that it did happen: not every moment has a batch or a full queue in it.
            tries = TRIES if self._plan.once else 1
            while not await self._do(bank, fault) and (tries := tries - 1):
                pass

    async def _do(self, bank: Bank, fault: Fault) -> bool:
        """Do it, heal it, and measure the recovery; False when it did not come about."""
        seconds = min(fault.seconds, self._plan.fault_seconds_max)
        scene = Scene(self._stage, bank, self._pick, seconds)
        self._say(fault.name)
        self._book.fault = fault.name
        self._stage.diary.begin(fault.name)
        why_not = ""
        try:
            await fault.apply(scene)
        except NotDone as why:
            why_not = str(why)
        except LocalError as error:
            why_not = str(error)
            self._report.troubles.append(f"{fault.name}: {error}")
        finally:
            self._stage.heal()
        recovery = await self._recovery(bank, fault)
        await self._workers_again(fault)
        if why_not:
            self._report.not_done[fault.name] = why_not
            return False
        self._report.recoveries.setdefault(fault.name, []).append(recovery)
        self._report.not_done.pop(fault.name, None)
        return True

    async def _workers_again(self, fault: Fault) -> None:
        """Let as many workers run as before the fault."""
        try:
            await self._stage.set_workers(self._plan.workers)
        except LocalError as error:
            self._report.troubles.append(f"after {fault.name}: {error}")

    def _say(self, what: str) -> None:
        say(f"{time.monotonic() - self._book.started_at:8.1f} s  {what}")

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
        stored = self._stage.view.offsets()
        ends = self._stage.view.ends()  # Asked after the offsets, so they can only have grown.
        self._report.troubles += [
            f"partition {one} is applied up to {upto}, beyond its end {ends[one]}"
            for one, upto in stored.items()
            if upto > ends[one]
        ]

    async def _wait_applied_since(self) -> None:
        """See that what the topic holds now is applied in time, while the clients still post."""
        ends: dict[int, int] = {}

        def behind() -> int:
            nonlocal ends
            ends = ends or self._stage.view.ends()
            stored = self._stage.view.offsets()
            return sum(max(0, end - stored[one]) for one, end in ends.items())

        await self._wait_none(behind, "of what was there when all was healed")

    async def _wait_no_lag(self, schema: str, when: str, seconds: float | None = None) -> None:
        await self._wait_none(lambda: self._lag(schema), when, seconds)

    async def _wait_none(
        self, lag_now: Callable[[], int], when: str, seconds: float | None = None
    ) -> None:
        seconds = seconds or self._plan.lag_seconds_max
        give_up_at = time.monotonic() + seconds
        lag: object = "unknown"
        while time.monotonic() < give_up_at:
            try:
                lag = await asyncio.to_thread(lag_now)
            except (psycopg.Error, OstatokError) as error:
                lag = f"unknown ({error})"
            if lag == 0:
                return
            await asyncio.sleep(LOOK_SECONDS)
        self._report.troubles.append(f"{when} the lag is {lag} after {seconds:g} s")

    def _lag(self, schema: str) -> int:
        return sum(self._stage.view.ends().values()) - sum(
            self._stage.view.offsets(schema).values()
        )

    async def _read_again(self) -> None:
        """Read the whole topic into a second schema, with an honest worker."""
        changes = {"database_schema": "again", "stream_group": "again"}
        settings = self._stage.direct.model_copy(update=changes)
        await self._stage.migrate(settings)
        await self._honest_worker(settings)
        await self._wait_no_lag("again", "in the second reading", READING_SECONDS_MAX)

    async def _honest_worker(self, settings: Settings) -> None:
        log = self._stage.log / settings.stream_group
        log.mkdir()
        given = processes.Given(environment_of(settings), log)
        try:
            await self._stage.add(*processes.stream_parts(given, [free_port()]))
        except LocalError as error:
            self._report.troubles.append(f"an honest worker: {error}")

    async def _read_into_the_same(self, evidence: Evidence) -> None:
        """Set the offsets back and let an honest worker read everything a second time."""
        view = self._stage.view
        await self._stage.set_workers(0)
        before = await asyncio.to_thread(view.digests)
        await asyncio.to_thread(view.run, SET_BACK)
        await self._honest_worker(self._stage.direct.model_copy(update={"stream_group": "same"}))
        await self._wait_no_lag("ostatok", "in the third reading", READING_SECONDS_MAX)
        after = await asyncio.to_thread(view.digests)
        broken = invariants.same_reading_changes_nothing(before, after)
        self._report.found(invariants.READ_INTO_THE_SAME, broken, evidence)

    def _check(self) -> Evidence:
        evidence = collect(self._stage, self._book)
        for name, check in invariants.CHECKS.items():
            self._report.found(name, check(evidence), evidence)
        return evidence

    def _judge(self) -> None:
        """See what no invariant sees: ends, time-outs, and what was never tried."""
        stage, report = self._stage, self._report
        report.troubles += unexpected(stage.diary, stage.ends, stage.log)
        report.troubles += [
            f"{many} webhooks got no answer in time under {fault}"
            for fault, many in sorted(self._book.unanswered.items())
            if fault in LEAVE_HTTP_ALONE
        ]
        tried = {*report.recoveries, *report.not_done}
        if never := sorted(set(self._plan.faults) - tried):
            report.troubles.append(f"never tried: {', '.join(never)}")


def say(text: str) -> None:
    """Tell who watches."""
    print(text, flush=True)  # noqa: T201
