"""A ledger gives its payments to a new topic, and goes on with one built from it."""

import asyncio
import random
from pathlib import Path

import psycopg
import pytest
from support.copies import backup, money, reseed, restore
from support.journal import INNS, apply_topic, deliveries, filled, home_of, make_topic, webhook
from support.payments import document
from support.rebuilding import rebuild
from support.services import Services

from ostatok.errors import JournalMismatch, LedgerError
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok.topic_removal import delete
from ostatok_db.connection import conninfo
from ostatok_db.dead_letters import DeadLetters, Decision, Filter
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Wanted
from ostatok_stream.reseed import Reseeded


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=5)


def test_without_a_copy_the_ledger_gives_its_payments(settings: Settings) -> None:
    """A rebuild from the new topic gives the same payments and balances, and goes on."""
    paid = money(settings)
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        (counts,) = connection.execute(
            "SELECT (SELECT count(*) FROM payment), (SELECT count(*) FROM duplicate), "
            "(SELECT count(*) FROM dead_letter)"
        ).fetchall()
    with pytest.raises(JournalMismatch, match="the one that the ledger was built from"):
        reseed(settings)
    delete(settings)
    assert reseed(settings, dry_run=True) == Reseeded(0, *counts)
    assert Topic(settings).describe() is None
    assert reseed(settings) == Reseeded(0, *counts)
    # A second one writes nothing: it is safe to run again.
    assert reseed(settings) == Reseeded(counts[0], 0, *counts[1:])
    assert rebuild(settings, Wanted(new_topic=True)).differences == []
    assert rebuild(settings, Wanted(swap=True, new_topic=True)).swapped
    assert money(settings) == paid
    assert audit(settings, lambda _: None).findings == []
    make_topic(settings, [webhook(document(payer_inn=INNS[0]))])
    asyncio.run(apply_topic(settings))
    assert len(money(settings)[0]) == len(paid[0]) + 1


def test_what_came_after_the_copy_comes_from_the_ledger(services: Services, tmp_path: Path) -> None:
    """Also when the copy holds the loser of an operation with two INNs, and not the winner."""
    settings = services.new_settings()
    winner, loser = INNS[0], INNS[2]
    make_topic(settings, deliveries(random.Random(8), 100))
    asyncio.run(apply_topic(settings))
    disputed = document(payer_inn=winner)
    make_topic(settings, [webhook({**disputed, "payer_inn": loser})])
    backup(settings, tmp_path / "copy")
    make_topic(settings, [webhook(disputed), webhook(document(payer_inn=loser))])
    asyncio.run(apply_topic(settings, home_of(winner)))
    asyncio.run(apply_topic(settings))
    paid = money(settings)
    delete(settings)
    restore(settings, tmp_path / "copy")
    differences = rebuild(settings, Wanted(new_topic=True)).differences
    assert {one.inn for one in differences} == {winner, loser}
    with pytest.raises(LedgerError, match="lacks 2 payments of the ledger"):
        rebuild(settings, Wanted(swap=True, new_topic=True))
    assert reseed(settings).written == 2
    assert rebuild(settings, Wanted(swap=True, new_topic=True)).differences == []
    assert money(settings) == paid
    assert audit(settings, lambda _: None).findings == []


@pytest.mark.parametrize("is_copy", [True, False])
def test_decisions_stay_with_their_dead_letters(
    settings: Settings, tmp_path: Path, *, is_copy: bool
) -> None:
    """A copy has the dead letter at its place; after a reseed the place is another record's."""
    letters = DeadLetters.connect(settings)
    try:
        (letter, *_) = letters.find(Filter(), 100)
        letters.decide(letter, Decision.DISCARDED, by="test", reason="a test")
        if is_copy:
            backup(settings, tmp_path / "copy")
        delete(settings)
        if is_copy:
            restore(settings, tmp_path / "copy")
        else:
            reseed(settings)
        rebuild(settings, Wanted(swap=True, new_topic=True))
        decided = letters.find(Filter(decided=True), 100)
    finally:
        letters.close()
    assert bool(decided) is is_copy
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        ((topic,),) = connection.execute(
            "SELECT topic FROM ostatok_service.dead_letter_decision"
        ).fetchall()
    assert topic.partition("@")[0] == settings.topic
    assert ("@" in topic) is not is_copy
