"""A journal made by chance, and what the rules say of it in plain Python."""

import random
import uuid
from decimal import Decimal

from ostatok.journal import Entry, partition_of
from ostatok.payment import Payment
from ostatok_db.batch import Batch, Outcome, Slice
from support.payments import MOMENT, PARTITIONS, TOPIC, TOPIC_ID, dead_letter, entry, payment

INNS = ["1234567890", "770412345608", "7707083893", "5001007322", "500100732259"]

Journal = dict[int, list[Entry | None]]
"""Partition → its records in offset order; None is a dead letter."""


def random_journal(pick: random.Random, *, records: int, across_inns: bool = True) -> Journal:
    """A bank's deliveries: new, repeated, changed, stolen by another INN, and rubbish."""
    journal: Journal = {partition_of(inn, PARTITIONS): [] for inn in INNS}
    known = [payment(inn=pick.choice(INNS), operation_id=_uuid(pick))]
    for minute in range(records):
        roll = pick.random()
        old = pick.choice(known)
        if roll < 0.05:
            journal[pick.choice(list(journal))].append(None)
            continue
        if roll < 0.25:
            paid = old
        elif roll < 0.35:
            paid = payment(operation_id=old.operation_id, inn=old.inn, amount=Decimal(7))
        elif roll < 0.45 and across_inns:
            paid = payment(operation_id=old.operation_id, inn=pick.choice(INNS))
        else:
            amount = Decimal(pick.randrange(1, 10**15)).scaleb(-2)
            paid = payment(inn=pick.choice(INNS), operation_id=_uuid(pick), amount=amount)
            known.append(paid)
        partition = partition_of(paid.inn, PARTITIONS)
        jitter = pick.randrange(-3, 4) if not across_inns else 0
        offset = len(journal[partition])
        journal[partition].append(entry(paid, offset, minutes=minute + jitter))
    return journal


def model(journal: Journal) -> tuple[dict[tuple[int, int], Outcome], dict[str, Decimal]]:
    """What the rules say, in plain Python: records in the order they were received."""
    outcomes: dict[tuple[int, int], Outcome] = {}
    won: dict[str, Payment] = {}
    balances: dict[str, Decimal] = {}
    for partition, records in journal.items():
        for offset, one in enumerate(records):
            if one is None:
                outcomes[partition, offset] = Outcome.DEAD
    received = [one for records in journal.values() for one in records if one is not None]
    for one in sorted(received, key=lambda one: one.received_at):
        paid, position = one.payment, (one.partition, one.offset)
        if paid.operation_id not in won:
            won[paid.operation_id] = paid
            balances[paid.inn] = balances.get(paid.inn, Decimal(0)) + paid.amount
            outcomes[position] = Outcome.APPLIED
        elif won[paid.operation_id] == paid:
            outcomes[position] = Outcome.DUPLICATE
        else:
            outcomes[position] = Outcome.CONFLICT
    return outcomes, balances


def random_cuts(pick: random.Random, journal: Journal) -> list[Batch]:
    """Batches over several partitions, some read again, in the order the records were received.

    Partitions advance together, so that of an operation in two of them the first received is
    applied first: without a ledger to follow, that is who wins.
    """
    cuts: list[Batch] = []
    done = dict.fromkeys(journal, 0)
    minutes = 0
    while any(done[partition] < len(records) for partition, records in journal.items()):
        minutes += pick.choice([1, 2, 5, 30, 100])
        slices = []
        for partition, records in journal.items():
            upto = _upto(records, done[partition], minutes)
            first = max(0, done[partition] - pick.choice([0, 0, 0, 3]))
            if upto == done[partition] and pick.random() < 0.8:
                continue
            some = list(enumerate(records))[first:upto]
            entries = [one for _, one in some if one is not None]
            dead = [dead_letter(partition, offset) for offset, one in some if one is None]
            if first < upto:
                slices.append(Slice(partition, first, upto, entries, dead))
            done[partition] = upto
        cuts.append(Batch(TOPIC, TOPIC_ID, slices))
        if pick.random() < 0.2:
            cuts.append(cuts[-1])
    return cuts


def _upto(records: list[Entry | None], done: int, minutes: int) -> int:
    """How many records of a partition were received before the minute."""
    upto = done
    while upto < len(records):
        one = records[upto]
        if one is not None and (one.received_at - MOMENT).total_seconds() / 60 >= minutes:
            break
        upto += 1
    return upto


def _uuid(pick: random.Random) -> str:
    return str(uuid.UUID(int=pick.getrandbits(128), version=4))
