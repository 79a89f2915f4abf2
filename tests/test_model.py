"""The ledger against a plain-dict model, and against itself read again in other batches."""

import random

import pytest
from support.model import model, random_cuts, random_journal
from support.payments import PARTITIONS, TOPIC, TOPIC_ID
from support.services import Rows, Services, dump, seeds

from ostatok.settings import load
from ostatok_db.batch import Outcome
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.migrate import adopt_topic, migrate


@pytest.mark.parametrize("seed", seeds(6, 200))
async def test_random_batches_agree_with_a_model(ledger: Ledger, rows: Rows, seed: int) -> None:
    """Duplicates, conflicts, repeats and dead letters, cut into batches by chance."""
    pick = random.Random(seed)
    journal = random_journal(pick, records=400)
    outcomes, balances = model(journal)
    for cut in random_cuts(pick, journal):
        applied = await ledger.apply(cut)
        for (partition, offset), outcome in applied.others.items():
            if outcome is not Outcome.SEEN:
                assert outcomes[partition, offset] == outcome
    assert dict(rows("SELECT inn, balance FROM organization")) == balances
    assert stored_outcomes(rows) == outcomes
    assert rows(
        "SELECT count(*) FROM balance_log l WHERE previous_balance <> coalesce((SELECT new_balance"
        " FROM balance_log b WHERE b.inn = l.inn AND b.entry = l.entry - 1), 0)"
    ) == [(0,)]


@pytest.mark.parametrize("seed", seeds(3, 60))
async def test_the_ledger_is_a_function_of_the_journal(services: Services, seed: int) -> None:
    """Other batches, restarts and redeliveries: every table is the same to the byte."""
    pick = random.Random(seed)
    journal = random_journal(pick, records=500, across_inns=False)
    settings = load(database_url=services.new_database(), topic=TOPIC)
    found = []
    for schema in ("ostatok", "again"):
        here = settings.model_copy(update={"database_schema": schema})
        migrate(here)
        adopt_topic(here, topic_id=TOPIC_ID, partitions=PARTITIONS)
        connected = await Ledger.connect(conninfo(here, name="test"))
        for cut in random_cuts(pick, journal):
            await connected.apply(cut)
            if pick.random() < 0.1:
                await connected.close()
                connected = await Ledger.connect(conninfo(here, name="test"))
        await connected.close()
        found.append(dump(here))
    assert found[0] == found[1]
    assert len(found[0]) == 7


def stored_outcomes(rows: Rows) -> dict[tuple[int, int], Outcome]:
    """What the database says of every offset; an offset that has two outcomes fails."""
    found = rows(
        "SELECT partition, \"offset\", 'applied' FROM payment UNION ALL "
        'SELECT partition, "offset", outcome FROM duplicate UNION ALL '
        "SELECT partition, \"offset\", 'dead' FROM dead_letter"
    )
    outcomes = {(partition, offset): Outcome(outcome) for partition, offset, outcome in found}
    assert len(outcomes) == len(found)
    return outcomes
