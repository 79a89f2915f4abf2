"""The ledger when another session is at it too."""

import asyncio

import psycopg
import pytest
from support.model import INNS
from support.payments import batch, entry, payment
from support.services import WAITING, Rows
from support.system import wait_until

from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db import ledger as ledger_module
from ostatok_db.batch import Outcome
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger


async def test_the_session_that_commits_first_wins(
    database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """Two workers have an operation in hand, under two INNs: one records it, for one a conflict."""
    paid = payment(inn=INNS[0])
    other = payment(operation_id=paid.operation_id, inn=INNS[2])
    beside = payment(inn=INNS[2])
    second = await Ledger.connect(conninfo(database, name="test", writes=True))
    async with ledger._connection.transaction():
        await ledger.apply(batch(entry(paid, 0)))
        applying = asyncio.create_task(second.apply(batch(entry(other, 0), entry(beside, 1))))
        await asyncio.to_thread(wait_until, lambda: bool(rows(WAITING)), "the second waits")
    applied = await applying
    assert applied.counts == {Outcome.APPLIED: 1, Outcome.CONFLICT: 1}
    assert rows("SELECT inn, balance, entries FROM organization ORDER BY inn") == sorted(
        (one.inn, one.amount, 1) for one in (paid, beside)
    )
    await second.close()


async def test_a_lock_is_waited_for_in_turns(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever locks the table: the wait ends in time to be reported, and begins anew."""
    monkeypatch.setattr(ledger_module, "LOCK_SECONDS_MAX", 0.2)
    waits = await Ledger.connect(conninfo(database, name="test", writes=True))
    paid = batch(entry(payment(), 0))
    with psycopg.connect(conninfo(database, name="test")) as holder:
        holder.execute("LOCK TABLE payment")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            await asyncio.wait_for(waits.apply(paid), 10)
    assert (await waits.apply(paid)).counts == {Outcome.APPLIED: 1}
    await waits.close()
