"""The processor time of payments, broker and database included, against Django and its database."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.cli import main
from bench.django_app import AGAINST, NAME, django_app
from bench.lab import Lab
from bench.load import Job, load, write_jobs
from bench.messages import post
from bench.outcomes import check_money, outcomes_of
from bench.payments import Mix, bodies
from bench.processor import cpu_seconds
from bench.question import Figure, Figures, Question, Sides, Size
from bench.system import whole_system
from bench.webhooks import CONNECTIONS, PATH, all_200
from ostatok.local.service import Service

PAYMENTS = 100_000
"""What the figure is scaled to."""


class _Payments:
    """Webhooks in two files: what warms a side up, and what is measured after it."""

    def __init__(self, folder: Path, *, warmup: int, measured: int, organizations: int) -> None:
        mix = Mix(warmup + measured, organizations)
        jobs = [Job([post(PATH, body)]) for _, body in bodies(mix)]
        self.measured = measured
        self.mix = mix
        self.expected = outcomes_of(mix)
        folder.mkdir()
        self.warmup_jobs = write_jobs(folder / "warmup", jobs[:warmup])
        self.jobs = write_jobs(folder / "measured", jobs[warmup:])

    def figures(self, seconds: float) -> Figures:
        """The figure of a side that used so many seconds."""
        return {"cpu": seconds * PAYMENTS / self.measured}


@asynccontextmanager
async def against_django(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: http, stream, Kafka and Postgres; and gunicorn's processes and Postgres.

    Each side is warm before it is measured, the broker's JVM too, and gets its payments as fast
    as it takes them; ours is done when the last is applied. The load's own time is not counted,
    nor what the kernel does by itself or the database puts off, on either side.
    """
    ours_of = {"warmup": size.of(20_000, 1_000), "measured": size.of(PAYMENTS, 3_000)}
    theirs_of = {"warmup": size.of(1_000, 300), "measured": size.of(5_000, 300)}
    many = size.of(10_000, 200)
    our_payments = await asyncio.to_thread(
        _Payments, lab.folder / "ours", organizations=many, **ours_of
    )
    their_payments = await asyncio.to_thread(
        _Payments, lab.folder / "theirs", organizations=many, **theirs_of
    )

    async def ours() -> Figures:
        async with whole_system(lab) as system:
            measured = (*system.pids, *_pids(lab.kafka, lab.postgres))
            await _post(system.port, our_payments.warmup_jobs)
            await system.applied(our_payments.mix.payments - our_payments.measured)
            before = cpu_seconds(measured)
            await _post(system.port, our_payments.jobs)
            await system.applied(our_payments.mix.payments)
            used = cpu_seconds(measured) - before
            await asyncio.to_thread(check_money, system.database, our_payments.expected)
        return our_payments.figures(used)

    async def theirs() -> Figures:
        async with django_app(lab, their_payments.mix) as app:
            measured = (app.pid, *_pids(lab.postgres))
            await _post(app.port, their_payments.warmup_jobs)
            before = cpu_seconds(measured)
            await _post(app.port, their_payments.jobs)
            used = cpu_seconds(measured) - before
            await asyncio.to_thread(check_money, app.database, their_payments.expected)
        return their_payments.figures(used)

    yield Sides(ours, theirs)


async def _post(port: int, jobs: Path) -> None:
    all_200(await load(port, jobs, connections=CONNECTIONS))


def _pids(*services: Service) -> Iterator[int]:
    """The first processes of services."""
    for service in services:
        assert service.pid is not None, "A service has ended."
        yield service.pid


QUESTIONS = (
    Question(
        "cpu",
        ours="http, stream, Kafka and Postgres",
        against=AGAINST,
        figures={
            "cpu": Figure(
                f"CPU seconds for {PAYMENTS:,} payments, all processes", "s", at_most=1 / 40
            )
        },
        sides=against_django,
        needs=NAME,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
