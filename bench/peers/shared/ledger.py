"""What the peers share: a payment as they validate it, and the arithmetic of the log."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec


class Payment(msgspec.Struct, frozen=True):
    """One payment. Raises msgspec's ValidationError for what is none."""

    operation_id: UUID
    amount: Decimal
    """Rubles."""
    payer_inn: Annotated[str, msgspec.Meta(pattern="^([0-9]{10}|[0-9]{12})$")]
    document_number: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    document_date: Annotated[datetime, msgspec.Meta(tz=True)]

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("amount must be greater than 0")


decode = msgspec.json.Decoder(Payment).decode
"""Bytes of a record → Payment."""


def sums(payments: Iterable[Payment]) -> dict[str, Decimal]:
    """INN → what it paid in all, by INN: so that two workers can't deadlock."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for payment in payments:
        found[payment.payer_inn] += payment.amount
    return dict(sorted(found.items()))


LogRow = tuple[str, UUID, Decimal, Decimal, Decimal]


def log_rows(payments: Sequence[Payment], balances: Mapping[str, Decimal]) -> list[LogRow]:
    """The log of a batch: each payment with the balance before and after it.

    ``balances`` are the ones after the whole batch.
    """
    standing = {inn: balances[inn] - added for inn, added in sums(payments).items()}
    rows = []
    for one in payments:
        before = standing[one.payer_inn]
        standing[one.payer_inn] = after = before + one.amount
        rows.append((one.payer_inn, one.operation_id, one.amount, before, after))
    return rows
