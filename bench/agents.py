"""How fast a worker applies what lies in the topic, against other ways to write a worker.

The peers are in peers/, and say there what of their documentation they follow. All read the same
kind of topic, write to the same Postgres with the same durability, in batches of the same size
when they make batches, and are timed from their first batch to their last. None of them makes a
hash chain, keeps repetitions or holds its offsets in the database: all of that is to their favour.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import psycopg

from bench import peer as peers
from bench.applied import anew, applied_per_second, per_second
from bench.cli import main
from bench.lab import Lab
from bench.outcomes import Outcomes, check_money, outcomes_of
from bench.payments import Mix, fill
from bench.question import BATCH_RECORDS, Figure, Figures, Question, Sides, Size
from ostatok.local.parts import environment
from ostatok.settings import Settings
from ostatok_db.connection import conninfo

DUPLICATES = 0.01
"""The share of the records that repeat an earlier one."""
PROGRESS = b"SELECT max(id) FROM balance_log"
"""How many payments a peer has applied: it is alone, and takes no number in vain."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker."""

    folder: str
    """Below peers/."""
    arguments: tuple[str, ...]
    """Its command line, after the interpreter."""
    payments: tuple[int, int]
    """How many it is given at full size, and at tiny: it takes 5 to 20 s for them."""
    needs: str = ""
    """The environment it runs in; empty: our own, which has all it needs."""


FAUST = Peer(
    "faust",
    ("-m", "faust", "-L", "uvloop", "-A", "stock", "worker", "--without-web", "-l", "warn"),
    payments=(5_000, 200),
)
QUIX = Peer("quix", ("-m", "sink"), payments=(100_000, 2_000), needs="quix")
FASTSTREAM = Peer(
    "faststream",
    ("-m", "faststream", "run", "subscriber:app"),
    payments=(60_000, 2_000),
    needs="faststream",
)


def against(peer: Peer) -> Callable[[Lab, Size], AbstractAsyncContextManager[Sides]]:
    """Sides: one worker of ours and one of the peer, each on a topic of its own."""

    @asynccontextmanager
    async def sides(lab: Lab, size: Size) -> AsyncIterator[Sides]:
        batch, organizations = size.of(BATCH_RECORDS, 200), size.of(10_000, 200)
        python = str(await peers.interpreter(peer.needs)) if peer.needs else sys.executable
        mixes = [
            Mix(payments, organizations, duplicates=DUPLICATES)
            for payments in (size.of(200_000, 4_000), size.of(*peer.payments))
        ]
        sources = []
        for mix in mixes:
            sources.append(await lab.new_settings(stream_batch_records_max=batch))
            await asyncio.to_thread(fill, sources[-1], mix)
        mine, others = [await asyncio.to_thread(outcomes_of, mix) for mix in mixes]

        async def ours() -> Figures:
            settings = await anew(lab, sources[0])
            records = mixes[0].payments
            rate = await applied_per_second(lab, settings, records)
            await asyncio.to_thread(check_money, conninfo(settings, name="bench"), mine)
            # Ours has counted the repetitions as well.
            return {"applied": rate * mine.applied / records}

        async def theirs() -> Figures:
            return {"applied": await _peer_per_second(lab, peer, python, sources[1], others)}

        yield Sides(ours, theirs)

    return sides


async def _peer_per_second(
    lab: Lab, peer: Peer, python: str, source: Settings, expected: Outcomes
) -> float:
    """Start the peer on a full topic with an empty ledger, and time it."""
    database = await asyncio.to_thread(_new_ledger, lab)
    scratch = lab.folder / f"{peer.folder}-{lab.number()}"
    scratch.mkdir()
    environ = environment(
        BENCH_DATABASE_URL=database,
        BENCH_KAFKA=source.kafka_bootstrap_servers,
        BENCH_TOPIC=source.topic,
        BENCH_GROUP=f"{peer.folder}-{lab.number()}",
        BENCH_BATCH=str(source.stream_batch_records_max),
        BENCH_FOLDER=str(scratch),
        PYTHONPATH=f"{peers.folder(peer.folder)}:{peers.folder('shared')}",
        PYTHONDONTWRITEBYTECODE="1",
    )
    running = await lab.start(peer.folder, (python, *peer.arguments), environ)
    try:
        rate = await per_second(database, PROGRESS, expected.applied, [running])
    finally:
        await lab.stop(running)
    await asyncio.to_thread(check_money, database, expected)
    return rate


def _new_ledger(lab: Lab) -> str:
    """A database with the peers' tables, all empty; give its URL."""
    database = lab.new_database()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((peers.folder("shared") / "tables.sql").read_bytes())
    return database


QUESTIONS = (
    Question(
        "applied-faust",
        ours="one worker, two transactions at once",
        against="a stock Faust agent, one transaction an event",
        figures={"applied": Figure("payments applied/s", "/s", at_least=50)},
        sides=against(FAUST),
    ),
    Question(
        "applied-quix",
        ours="one worker, two transactions at once",
        against="Quix Streams, a sink that writes a transaction a checkpoint and partition",
        figures={"applied": Figure("payments applied/s", "/s")},
        sides=against(QUIX),
        needs=QUIX.needs,
    ),
    Question(
        "applied-faststream",
        ours="one worker, two transactions at once",
        against="FastStream, a batch subscriber with a transaction a batch",
        figures={"applied": Figure("payments applied/s", "/s")},
        sides=against(FASTSTREAM),
        needs=FASTSTREAM.needs,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
