"""Examples of the document: a payment, and what its bank and its company see of it afterwards.

The bodies are made of what the service encodes. The payment's record is the first of its partition,
so that every request can be sent as it stands to a service that has just been started.
"""

from decimal import Decimal
from typing import Any

import msgspec

from ostatok_http import schemas
from ostatok_http.shapes import (
    PROCESSED,
    AppliedRecord,
    Balance,
    Entry,
    Log,
    Operation,
    PastBalance,
    Processed,
    Statement,
    Totals,
    encode,
)

PAYMENT: dict[str, Any] = schemas.PAYMENT["examples"][0]
MOMENT = "2026-04-27T21:00:00.000000Z"
IN_PATHS = {
    "inn": PAYMENT["payer_inn"],
    "operation_id": PAYMENT["operation_id"],
    "position": "7:0",
}

_AMOUNT = Decimal("145000.00")
_NOTHING = Decimal("0.00")
_DATE = "2024-04-27T21:00:00.000000Z"
_INN, _OPERATION, _POSITION = PAYMENT["payer_inn"], PAYMENT["operation_id"], "5:0"

_entry = Entry(
    1,
    MOMENT,
    _OPERATION,
    _AMOUNT,
    _NOTHING,
    _AMOUNT,
    PAYMENT["document_number"],
    _DATE,
    MOMENT,
    _POSITION,
)
_applied = AppliedRecord(
    position=_POSITION,
    received_at=MOMENT,
    request_id="my-request-1",
    source="bank",
    inn=_INN,
    amount=_AMOUNT,
    document_number=PAYMENT["document_number"],
    document_date=_DATE,
    entry=1,
    previous_balance=_NOTHING,
    new_balance=_AMOUNT,
    created_at=MOMENT,
)


def _shown(body: msgspec.Struct) -> Any:
    """The body as it is encoded: the names and the order are those on the wire."""
    return msgspec.json.decode(encode(body))


PROCESSED_BODY = _shown(Processed(PROCESSED))
BALANCE = _shown(Balance(_INN, _AMOUNT))
PAST_BALANCE = _shown(PastBalance(_INN, _AMOUNT, 1))
LOG = _shown(Log(_INN, [_entry], None))
STATEMENT = _shown(Statement(_INN, None, None, _NOTHING, _AMOUNT, Totals(1, _AMOUNT), [_entry]))
OPERATION = _shown(Operation(_OPERATION, "applied", [_applied]))
