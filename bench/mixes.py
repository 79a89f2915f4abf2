"""How fast a worker applies what is out of the ordinary, and without its chain, against itself."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg

from bench.applied import anew, applied_per_second, plain
from bench.cli import main
from bench.lab import Lab
from bench.outcomes import check_money, check_repeats, outcomes_of
from bench.payments import Mix, fill
from bench.question import BATCH_RECORDS, Figure, Figures, Question, Run, Sides, Size
from ostatok.settings import Settings
from ostatok_db.connection import conninfo


def against_plain(**special: Any) -> Callable[[Lab, Size], AbstractAsyncContextManager[Sides]]:
    """Sides: one worker on the plain case with something changed, and one on the plain case."""

    @asynccontextmanager
    async def sides(lab: Lab, size: Size) -> AsyncIterator[Sides]:
        usual = plain(size)
        ours = await _applying(lab, size, replace(usual, **special))
        yield Sides(ours, await _applying(lab, size, usual))

    return sides


async def _applying(lab: Lab, size: Size, mix: Mix) -> Run:
    """Fill a topic with the mix, and give what applies it to an empty ledger."""
    source = await lab.new_settings(stream_batch_records_max=size.of(BATCH_RECORDS, 200))
    await asyncio.to_thread(fill, source, mix)
    expected = await asyncio.to_thread(outcomes_of, mix)

    async def run() -> Figures:
        settings = await anew(lab, source)
        rate = await applied_per_second(lab, settings, mix.payments)
        database = conninfo(settings, name="bench")
        await asyncio.to_thread(check_money, database, expected)
        await asyncio.to_thread(check_repeats, database, expected)
        return {"applied": rate}

    return run


NO_HASH = b"""
    CREATE OR REPLACE FUNCTION chain_link(state bytea, before bytea, content text)
        RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN '\\x00'; END $$
"""


@asynccontextmanager
async def against_no_chain(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: one worker on the plain case, and one whose Postgres computes no link."""
    mix = plain(size)
    source = await lab.new_settings(stream_batch_records_max=size.of(BATCH_RECORDS, 200))
    await asyncio.to_thread(fill, source, mix)

    async def ours() -> Figures:
        return {"applied": await applied_per_second(lab, await anew(lab, source), mix.payments)}

    async def theirs() -> Figures:
        settings = await anew(lab, source)
        await asyncio.to_thread(_forget_chain, settings)
        return {"applied": await applied_per_second(lab, settings, mix.payments)}

    yield Sides(ours, theirs)


def _forget_chain(settings: Settings) -> None:
    with psycopg.connect(conninfo(settings, name="bench", writes=True)) as connection:
        connection.execute(NO_HASH)


def _question(name: str, ours: str, **special: Any) -> Question:
    return Question(
        name,
        ours=f"one worker, {ours}",
        against="itself on the plain case",
        figures={"applied": Figure("records given an outcome/s", "/s", at_least=0.8)},
        sides=against_plain(**special),
    )


QUESTIONS = (
    _question("applied-hot", "all payments of one INN", organizations=1),
    _question("applied-duplicates", "50 % duplicates", duplicates=0.5),
    _question("applied-conflicts", "1 % conflicts", conflicts=0.01),
    Question(
        "applied-chain",
        ours="one worker, chain and all",
        against="itself, with links that are no hash of anything",
        figures={"applied": Figure("payments applied/s", "/s")},
        sides=against_no_chain,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
