"""Whether a ledger of ten million payments is as fast as an empty one, and how large it is."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

import psycopg

from bench.applied import PROGRESS, anew, applied_per_second, reached
from bench.balances import CONNECTIONS, path_of
from bench.cli import main
from bench.lab import Lab
from bench.load import Job, load, write_jobs
from bench.messages import get
from bench.pages import pages_ms
from bench.payments import Mix, bodies, fill
from bench.question import BATCH_RECORDS, Figure, Figures, Question, Sides, Size
from bench.serving import ostatok_http, ostatok_stream
from bench.webhooks import all_200
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

READS_PER_SECOND = 1_000
SECONDS_MAX = 3_600.0
BYTES = b"""
SELECT sum(pg_total_relation_size(oid)) / (SELECT count(*) FROM payment) FROM pg_class
WHERE relnamespace = 'ostatok'::regnamespace AND relkind = 'r'
"""
TABLES = b"""
SELECT format('  %s: %s rows, %s + %s of indexes, %s dead, autovacuum %s times, autoanalyze %s',
    relname, n_live_tup, pg_size_pretty(pg_table_size(relid)),
    pg_size_pretty(pg_indexes_size(relid)), n_dead_tup, autovacuum_count, autoanalyze_count)
FROM pg_stat_user_tables WHERE schemaname = 'ostatok' ORDER BY pg_total_relation_size(relid) DESC
"""


@asynccontextmanager
async def against_empty(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: a worker and an http process on the large ledger; and on one that began empty.

    The large one is what a worker made of that many payments, with what autovacuum did meanwhile.
    Each turn applies as many more to both. A few of all are conflicts and dead letters, and one
    organization has a twentieth of the payments: half a million entries in the large one.
    """
    many = size.of(10_000_000, 4_000)
    odd = 0.001 if size is Size.FULL else 0.02
    mix = Mix(
        size.of(200_000, 2_000),
        size.of(10_000, 200),
        conflicts=odd,
        unreadable=odd,
        busiest=0.05,
    )
    batch = size.of(BATCH_RECORDS, 200)
    reads = size.of(10 * READS_PER_SECOND, READS_PER_SECOND)
    pick, seeds = random.Random(2), count(2)
    inns = list({inn for inn, _ in bodies(mix)})
    jobs = write_jobs(
        lab.folder / "reads", (Job([get(path_of(inn))]) for inn in pick.choices(inns, k=reads))
    )
    given = {"stream_batch_records_max": batch, "http_serve": ALL_PARTS}
    large = await lab.new_settings(**given)
    await _grow(lab, large, replace(mix, payments=many))
    applied = many

    async def measure(settings: Settings, before: int) -> Figures:
        rate = await applied_per_second(lab, settings, mix.payments, before=before)
        async with ostatok_http(lab, settings) as port:
            result = await load(
                port, jobs, connections=CONNECTIONS, rate=READS_PER_SECOND, warmup=reads // 10
            )
            pages = await pages_ms(settings, port)
        slowest = max(pages, key=pages.__getitem__)
        _say(f"  the console's slowest page: {slowest}, {pages[slowest]:.1f} ms")
        assert all_200(result) == reads
        (size_of_one,) = await asyncio.to_thread(_column, settings, BYTES)
        return {
            "applied": rate,
            "p99": result.p99_ms,
            "pages": pages[slowest],
            "bytes": float(size_of_one),
        }

    async def ours() -> Figures:
        nonlocal applied
        await asyncio.to_thread(fill, large, mix, seed=next(seeds))
        figures = await measure(large, applied)
        applied += mix.payments
        return figures

    async def theirs() -> Figures:
        source = await lab.new_settings(**given)
        await asyncio.to_thread(fill, source, mix, seed=next(seeds))
        settings = await anew(lab, source, http_serve=ALL_PARTS)
        figures = await measure(settings, 0)
        for one in (source, settings):
            lab.drop_database(one.database_url.get_secret_value())
        return figures

    yield Sides(ours, theirs)
    _say(f"  the large ledger after {applied:,} payments:")
    for line in await asyncio.to_thread(_column, large, TABLES):
        _say(line)


async def _grow(lab: Lab, settings: Settings, mix: Mix) -> None:
    """Let a worker make a ledger of the payments, saying how far it is."""
    started = time.monotonic()
    _say(f"  writing {mix.payments:,} payments to the topic")
    await asyncio.to_thread(fill, settings, mix)
    database = conninfo(settings, name="bench")
    async with (
        asyncio.timeout(SECONDS_MAX),
        ostatok_stream(lab, settings),
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
    ):
        for tenth in range(1, 11):
            await reached(connection, PROGRESS, mix.payments * tenth // 10, [])
            _say(f"  {tenth * 10} % applied after {time.monotonic() - started:.0f} s")


def _column(settings: Settings, statement: bytes) -> list[str]:
    with psycopg.connect(conninfo(settings, name="bench")) as connection:
        return [row[0] for row in connection.execute(statement)]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # it talks to a person


QUESTIONS = (
    Question(
        "growth",
        ours="with 10,000,000 payments in the ledger",
        against="beginning with none",
        figures={
            "applied": Figure("payments applied/s", "/s", at_least=0.8),
            "p99": Figure(f"balance reads, p99 at {READS_PER_SECOND}/s", "ms", at_most=1.2),
            "pages": Figure("the console's slowest page, median", "ms", at_most=1.5),
            "bytes": Figure("tables and indexes, bytes a payment", "B"),
        },
        sides=against_empty,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
