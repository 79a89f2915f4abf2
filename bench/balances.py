"""How fast balances are read, against a handler that answers a constant."""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import msgspec
import psycopg

from bench.cli import main
from bench.lab import Lab
from bench.load import Job, load, write_jobs
from bench.messages import get
from bench.payments import Mix, bodies, fill
from bench.question import Figure, Figures, Question, Sides, Size
from bench.serving import bare_aiohttp, ostatok_http, ostatok_stream
from bench.webhooks import all_200
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

CONNECTIONS = 64
SAMPLE = 50
APPLY_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05


def path_of(inn: str) -> str:
    """Where the balance of an INN is."""
    return f"/api/organizations/{inn}/balance/"


def balances_of(payments: Iterable[tuple[str, bytes]]) -> dict[str, Decimal]:
    """What each INN must have once these (INN, body), all of them new payments, are applied."""
    balances: defaultdict[str, Decimal] = defaultdict(Decimal)
    for inn, body in payments:
        balances[inn] += Decimal(msgspec.json.decode(body)["amount"])
    return dict(balances)


async def until_applied(settings: Settings, payments: int, rubles: Decimal) -> None:
    """Wait until the ledger has so many payments and so much money, which it must within a time."""
    text = conninfo(settings, name="bench")
    async with (
        asyncio.timeout(APPLY_SECONDS_MAX),
        await psycopg.AsyncConnection.connect(text, autocommit=True) as connection,
    ):
        while True:
            cursor = await connection.execute("SELECT sum(entries), sum(balance) FROM organization")
            if await cursor.fetchone() == (payments, rubles):
                return
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def against_constant(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: our balances out of a ledger that a worker filled, and bare.py."""
    mix = Mix(size.of(50_000, 1_000), size.of(10_000, 200))
    settings = await lab.new_settings()
    await asyncio.to_thread(fill, settings, mix)
    balances = await asyncio.to_thread(balances_of, bodies(mix))
    async with ostatok_stream(lab, settings):
        await until_applied(settings, mix.payments, sum(balances.values(), Decimal()))

    pick = random.Random(2)
    reads = size.of(150_000, 3_000)
    asked = pick.choices(list(balances), k=reads)
    jobs = write_jobs(lab.folder / "reads", (Job([get(path_of(inn))]) for inn in asked))

    async def ours() -> Figures:
        async with ostatok_http(lab, settings) as port:
            result = await load(port, jobs, connections=CONNECTIONS, warmup=reads // 20)
            await _check(port, balances, pick.sample(asked, SAMPLE))
        assert all_200(result) == reads
        return {"reads": result.per_second}

    async def theirs() -> Figures:
        async with bare_aiohttp(lab) as port:
            result = await load(port, jobs, connections=CONNECTIONS, warmup=reads // 20)
        assert all_200(result) == reads
        return {"reads": result.per_second}

    yield Sides(ours, theirs)


async def _check(port: int, balances: Mapping[str, Decimal], inns: Sequence[str]) -> None:
    """See that the answers are right to the byte."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        for inn in inns:
            async with client.get(path_of(inn)) as response:
                body = await response.text()
            right = f'{{"inn": "{inn}", "balance": {balances[inn]:.2f}}}'
            assert body == right, f"A balance is {body}, not {right}."


QUESTIONS = (
    Question(
        "balances",
        ours="one http process on Postgres",
        against="an aiohttp handler that answers a constant",
        figures={
            "reads": Figure(f"balance reads/s, {CONNECTIONS} connections", "/s", at_least=0.7)
        },
        sides=against_constant,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
