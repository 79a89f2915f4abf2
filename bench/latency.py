"""How long after a webhook is sent its money is in the balance, against the least that it takes."""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import aiohttp

from bench.balances import balances_of, path_of, until_applied
from bench.cli import main
from bench.lab import Lab
from bench.load import Job, load, percentile, write_jobs
from bench.messages import get, post
from bench.payments import Mix, bodies
from bench.question import Figure, Figures, Question, Sides, Size
from bench.roundtrip import round_trip
from bench.serving import ostatok_http, ostatok_stream
from bench.webhooks import PATH, all_200

RATE = 500
CONNECTIONS = 256
"""More than are ever in use at once: a payment must not wait for one to become free."""
READ_WAIT_SECONDS_MAX = 30
"""However late a payment is applied, a read must wait for it, or the latency would end there."""
LOOKS_AT_EVERY = 5
"""One webhook in so many is followed by a read of its balance: more would be another load."""

Payments = Sequence[tuple[str, bytes]]


@asynccontextmanager
async def against_round_trip(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: webhook, 200, balance as a client sees them; and Kafka and Postgres alone."""
    warmup = size.of(3 * RATE, RATE)
    payments = list(bodies(Mix(warmup + size.of(20 * RATE, RATE), size.of(10_000, 200))))
    jobs = write_jobs(lab.folder / "latency", _jobs(payments))
    money = sum(balances_of(payments).values(), Decimal())

    async def ours() -> Figures:
        settings = await lab.new_settings(read_wait_seconds=READ_WAIT_SECONDS_MAX)
        async with AsyncExitStack() as running:
            await running.enter_async_context(ostatok_stream(lab, settings))
            port = await running.enter_async_context(ostatok_http(lab, settings))
            result = await load(port, jobs, connections=CONNECTIONS, rate=RATE, warmup=warmup)
            await _check_none_stale(port)
            await until_applied(settings, len(payments), money)
        all_200(result)
        return {"p50": result.p50_ms, "p99": result.p99_ms}

    async def theirs() -> Figures:
        settings = await lab.new_settings()
        seconds = (await round_trip(settings, payments, rate=RATE))[warmup:]
        return {name: 1000 * percentile(seconds, at) for name, at in (("p50", 0.5), ("p99", 0.99))}

    yield Sides(ours, theirs)


def _jobs(payments: Payments) -> Iterator[Job]:
    """POST each; some are timed, to the answer of a GET that waits until the payment is applied.

    A read begins once the webhook has its 200, and answers only with the payment in it.
    """
    for number, (inn, body) in enumerate(payments):
        looks = number % LOOKS_AT_EVERY == 0
        reads = [get(path_of(inn))] if looks else []
        yield Job([post(PATH, body), *reads], timed=looks)


async def _check_none_stale(port: int) -> None:
    """See that no read gave up waiting: its answer would have come without the payment."""
    address = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as client, client.get(address) as response:
        lines = (await response.text()).splitlines()
    reads = {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
        if name.startswith("ostatok_http_balance_reads_total")
    }
    assert any(count for name, count in reads.items() if "found" in name), "Nothing was read."
    stale = sum(count for name, count in reads.items() if "found" not in name)
    assert not stale, f"{stale:g} balances were read that did not have their payment: {reads}"


QUESTIONS = (
    Question(
        "latency",
        ours=f"webhook sent to its money in the balance, {RATE}/s",
        against=f"produce, consume, one commit, {RATE}/s",
        figures={
            "p50": Figure("webhook to balance, p50", "ms", at_most=2),
            "p99": Figure("webhook to balance, p99", "ms", at_most=2),
        },
        sides=against_round_trip,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
