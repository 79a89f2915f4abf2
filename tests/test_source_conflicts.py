"""Two senders over one operation: one of them may have taken the other's."""

import msgspec
import pytest
from prometheus_client import REGISTRY
from support.payments import batch, entry, payment

from ostatok.journal import Entry
from ostatok_db.batch import Outcome
from ostatok_db.ledger import Ledger
from ostatok_stream import metrics


def of(source: str | None, one: Entry) -> Entry:
    """The same record, from somebody else."""
    return msgspec.structs.replace(one, source=source)


@pytest.mark.parametrize(
    ("first", "second", "is_between"),
    [
        ("bank", "bank", False),
        ("bank", "other", True),
        ("bank", None, False),
        (None, "other", False),
        ("bank", "redrive", False),
        ("redrive", "bank", False),
    ],
)
async def test_a_conflict_says_whose_it_is(
    ledger: Ledger, first: str | None, second: str | None, *, is_between: bool
) -> None:
    """Between two senders, and not with what we published ourselves or nobody named."""
    paid = payment()
    other = msgspec.structs.replace(paid, amount=paid.amount + 1)
    await ledger.apply(batch(of(first, entry(paid, 0)), first=0))
    (repeat,) = (await ledger.apply(batch(of(second, entry(other, 1))))).repeats
    assert (repeat.outcome, repeat.source, repeat.winner_source) == (
        Outcome.CONFLICT,
        second,
        first,
    )
    assert repeat.is_between_sources is is_between


async def test_the_same_payment_from_another_sender_is_no_conflict(ledger: Ledger) -> None:
    """Nobody lost anything by it."""
    paid = payment()
    applied = await ledger.apply(
        batch(of("bank", entry(paid, 0)), of("other", entry(paid, 1)), first=0)
    )
    (repeat,) = applied.repeats
    assert (repeat.outcome, repeat.is_between_sources) == (Outcome.DUPLICATE, False)


def counted() -> float:
    """What the alert goes by."""
    return REGISTRY.get_sample_value("ostatok_stream_source_conflicts_total") or 0.0


async def test_it_is_counted_for_the_alert(ledger: Ledger) -> None:
    """Once for each such record, in the batch that recorded it or any later one."""
    before = counted()
    paid = payment()
    other = msgspec.structs.replace(paid, document_number="PAY-329")
    both = batch(of("bank", entry(paid, 0)), of("other", entry(other, 1)), first=0)
    metrics.batch(both, 0.1, await ledger.apply(both))
    assert counted() == before + 1
