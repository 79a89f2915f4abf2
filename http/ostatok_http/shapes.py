"""What the bodies of answers are made of: these are encoded, and shown in the API's document.

The order of the fields is the order on the wire. A field that is UNSET is left out of the body; one
that is None is there, as null. What stands in a body for a moment is text already, since RFC 3339
with all six decimals is the form that this service gives it.
"""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ostatok.journal import rfc3339
from ostatok_db.batch import Outcome
from ostatok_db.history import LogEntry
from ostatok_http import schemas
from ostatok_http.schemas import Schema

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Money is written as a JSON number from the Decimal itself."""

PROCESSED = "Payment processed successfully"

ACCEPTED = "accepted"
"""In the journal, and without an outcome yet."""

RECEIVED_AT = "The receiver's clock, when the webhook was taken in."
CREATED_AT = (
    "The ledger's time: received_at, or the created_at of the entry before it when that is later, "
    "so that a log is ordered in time."
)


def _text(schema: Schema, description: str | None = None, **more: object) -> Meta:
    return Meta(description=description, extra_json_schema={**schema, **more})


Inn = Annotated[str, _text(schemas.INN)]
OperationId = Annotated[str, _text(schemas.OPERATION_ID, "The bank's UUID, in lower case.")]
Position = Annotated[
    str, _text(schemas.POSITION, "Where the record lies in the journal: partition:offset.")
]
Rubles = Annotated[Decimal, Meta(description="Rubles, with exactly two decimals.")]
ReceivedAt = Annotated[str, _text(schemas.TIMESTAMP, RECEIVED_AT)]
CreatedAt = Annotated[str, _text(schemas.TIMESTAMP, CREATED_AT)]
DocumentDate = Annotated[
    str, _text(schemas.TIMESTAMP, "The bank's clock: the date of the payment document, in UTC.")
]
PeriodEnd = Annotated[str, _text(schemas.TIMESTAMP, "As it was asked for, in UTC.")]
RequestId = Annotated[str, Meta(description="X-Request-ID of the webhook.")]
Source = Annotated[str, Meta(description="Who wrote the record: bank, redrive, or another's word.")]


class Processed(Struct, frozen=True):
    """The journal has the webhook, new or seen before."""

    message: Annotated[str, Meta(extra_json_schema={"const": PROCESSED})]


class Balance(Struct, frozen=True):
    """The balance of now."""

    inn: Inn
    balance: Rubles


class PastBalance(Struct, frozen=True):
    """The balance at a point of the past."""

    inn: Inn
    balance: Rubles
    entry: Annotated[int, Meta(ge=0, description="The last entry that is in it; 0 for none.")]


class Entry(Struct, frozen=True):
    """One change of a balance, with the payment that made it."""

    entry: Annotated[int, Meta(ge=1, description="Its number in the log, from 1 without a hole.")]
    created_at: CreatedAt
    operation_id: OperationId
    amount: Rubles
    previous_balance: Rubles
    new_balance: Rubles
    document_number: str
    document_date: DocumentDate
    received_at: ReceivedAt
    position: Position

    @classmethod
    def of(cls, entry: LogEntry) -> "Entry":
        """Show an entry as clients see it."""
        return cls(
            entry.entry,
            rfc3339(entry.created_at),
            entry.operation_id,
            entry.amount,
            entry.previous_balance,
            entry.new_balance,
            entry.document_number,
            rfc3339(entry.document_date),
            rfc3339(entry.received_at),
            f"{entry.partition}:{entry.offset}",
        )


class Log(Struct, frozen=True):
    """A page of an INN's log."""

    inn: Inn
    entries: list[Entry]
    next: Annotated[str, Meta(pattern="^[0-9]+$", description="The next page's cursor.")] | None


class Totals(Struct, frozen=True):
    """What the entries of a statement add up to."""

    entries: Annotated[int, Meta(ge=0)]
    amount: Rubles


class StatementHead(Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """A statement less its entries."""

    inn: Inn
    since: PeriodEnd | None
    until: PeriodEnd | None
    opening_balance: Rubles
    closing_balance: Rubles
    totals: Totals


class Statement(StatementHead, frozen=True):
    """What an INN paid in a period. It is written as it is read: see ``statement.py``."""

    entries: list[Entry]


class Difference(Struct, frozen=True):
    """What a field of a conflict was, as text, the way the ledger keeps it."""

    received: str
    recorded: str


Differences = Annotated[
    dict[str, Difference],
    Meta(extra_json_schema={"propertyNames": {"enum": list(schemas.DIFFERENCE_FIELDS)}}),
]


class AcceptedRecord(Struct, frozen=True, tag_field="outcome", tag=ACCEPTED):
    """A record in the journal that has no outcome yet."""

    position: Position
    received_at: ReceivedAt
    request_id: RequestId | None
    source: Source | None
    inn: Inn
    amount: Rubles
    document_number: str
    document_date: DocumentDate


class AppliedRecord(
    Struct, frozen=True, tag_field="outcome", tag=str(Outcome.APPLIED), kw_only=True
):
    """The record that moved money, and the log's entry that it made."""

    position: Position
    received_at: ReceivedAt
    request_id: RequestId | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    inn: Inn
    amount: Rubles
    document_number: str
    document_date: DocumentDate
    entry: Annotated[int, Meta(ge=1, description="Its number in the INN's log.")]
    previous_balance: Rubles
    new_balance: Rubles
    created_at: CreatedAt


class DuplicateRecord(
    Struct, frozen=True, tag_field="outcome", tag=str(Outcome.DUPLICATE), kw_only=True
):
    """A record with the content of one before it: no money was moved."""

    position: Position
    received_at: ReceivedAt
    request_id: RequestId | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    inn: Inn


class ConflictRecord(
    Struct, frozen=True, tag_field="outcome", tag=str(Outcome.CONFLICT), kw_only=True
):
    """A record with other content than one before it: no money was moved."""

    position: Position
    received_at: ReceivedAt
    request_id: RequestId | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    inn: Inn
    differences: Differences


class DeadRecord(Struct, frozen=True, tag_field="outcome", tag=str(Outcome.DEAD)):
    """A record that names the operation and can be no payment."""

    position: Position
    received_at: ReceivedAt
    reason: str


Record = AcceptedRecord | AppliedRecord | DuplicateRecord | ConflictRecord | DeadRecord


class Operation(Struct, frozen=True):
    """Every record of an operation, and what became of each."""

    operation_id: OperationId
    status: Annotated[
        str, Meta(extra_json_schema={"enum": [Outcome.APPLIED, ACCEPTED, Outcome.DEAD]})
    ]
    """The outcome of the first record."""
    records: Annotated[list[Record], Meta(min_length=1)]
