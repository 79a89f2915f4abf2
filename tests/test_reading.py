"""What the balance endpoint asks of the ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import psycopg
import pytest
from support.payments import PARTITIONS, TOPIC_ID, batch, entry, payment
from support.services import Services

from ostatok.errors import LedgerUnavailable
from ostatok.journal import partition_of
from ostatok.local.ports import free_port
from ostatok.settings import Settings, load
from ostatok_db.ledger import Ledger
from ostatok_db.pool import Pool
from ostatok_db.reading import Reader, Standing

PAID, NEVER = "1234567890", "7707083893"
ASKED = [(inn, partition_of(inn, PARTITIONS)) for inn in (NEVER, PAID)]


@asynccontextmanager
async def reader(settings: Settings, **changes: object) -> AsyncIterator[Reader]:
    """An open reader."""
    changed = settings.model_copy(update=changes)
    made = Reader(changed, Pool(changed))
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_balances_and_offsets_in_the_order_asked(
    database: Settings, ledger: Ledger, pgbouncer: bool
) -> None:
    """One that never paid too; also when no session lasts longer than a transaction."""
    await ledger.apply(batch(entry(payment(inn=PAID), 0)))
    async with reader(database, database_pgbouncer=pgbouncer) as made:
        for _ in range(5):
            assert await made.standings(ASKED) == [
                Standing(NEVER, None, 0),
                Standing(PAID, Decimal("145000.00"), 1),
            ]
        assert await made.partitions() == PARTITIONS
        assert (await made.offsets())[partition_of(PAID, PARTITIONS)] == (1, TOPIC_ID)


async def test_before_migrate_it_says_so(services: Services) -> None:
    """No schema, or no topic in it: unavailable, with the command that mends it."""
    empty = load(database_url=services.new_database(), database_schema="nowhere")
    async with reader(empty) as made:
        with pytest.raises(LedgerUnavailable, match="schema is not there") as refused:
            await made.check()
        assert refused.value.hint == "Run `ostatok migrate`."
    unknown = load(database_url=services.new_database(), topic="unknown")
    async with reader(unknown) as made:
        with pytest.raises(LedgerUnavailable, match="knows no topic unknown"):
            await made.check()


async def test_nobody_there_is_said_in_time() -> None:
    """A database that refuses connections."""
    away = load(
        database_url=f"postgresql://127.0.0.1:{free_port()}/ostatok", database_timeout_seconds=0.5
    )
    async with reader(away) as made:
        with pytest.raises(LedgerUnavailable):
            await made.standings(ASKED)


async def test_a_read_that_waits_for_a_lock_ends(database: Settings) -> None:
    """It gives its connection back after the time-out, whoever holds the table."""
    with psycopg.connect(database.database_conninfo) as holder:
        holder.execute("LOCK TABLE ostatok.organization IN ACCESS EXCLUSIVE MODE")
        async with reader(database, database_timeout_seconds=0.5) as made:
            with pytest.raises(LedgerUnavailable, match="statement timeout"):
                await made.standings(ASKED)
        holder.rollback()
