"""The receipt of an operation: every record of it, and what became of each."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from aiohttp import hdrs, web

from ostatok.journal import Entry, rfc3339
from ostatok.payment import is_operation_id
from ostatok_db.batch import Outcome
from ostatok_db.history import History, OperationRecord
from ostatok_http.ok import Ok
from ostatok_http.parameters import Parameters
from ostatok_http.shapes import AcceptedRecord, AppliedRecord, Operation, Record, encode
from ostatok_http.unapplied import Unapplied

KOPECK = Decimal("0.01")


class OperationEndpoint:
    """Looks an operation up: in the ledger, and when it is not there in what is not applied yet."""

    def __init__(self, history: History, unapplied: Unapplied) -> None:
        self._history = history
        self._unapplied = unapplied

    async def get(self, request: web.Request) -> Ok:
        """Answer 200 with the operation's records, or 404 when the journal has none."""
        operation_id = request.match_info["operation_id"].lower()
        if not is_operation_id(operation_id):
            _refuse()
        Parameters(request.query).check()
        records = await self._recorded(operation_id)
        if not _is_applied(records):
            # A dead one may have been redriven, or the next record of it is no rubbish.
            entries = await self._unapplied.of(operation_id)
            # What was not applied when the ledger was asked, and was when the journal was.
            records = await self._recorded(operation_id)
            if entries and not _is_applied(records):
                records = [*map(_accepted, entries), *records]
        if not records:
            _refuse()
        status = str(records[0].__struct_config__.tag)
        body = Operation(operation_id, status, records)
        return Ok(encode(body), {hdrs.CACHE_CONTROL: "no-store"})

    async def _recorded(self, operation_id: str) -> list[Record]:
        """Give the records that have their outcome, the applied one first."""
        records = await self._history.records_of(operation_id)
        fields = [_fields(record) for record in records]
        if records and records[0].outcome is Outcome.APPLIED:
            entry = await self._history.entry_of(records[0], operation_id)
            fields[0] |= {
                "entry": entry.entry,
                "previous_balance": entry.previous_balance,
                "new_balance": entry.new_balance,
                "created_at": rfc3339(entry.created_at),
            }
        return msgspec.convert(fields, list[Record])


def _refuse() -> NoReturn:
    raise web.HTTPNotFound


def _is_applied(records: Sequence[Record]) -> bool:
    return bool(records) and isinstance(records[0], AppliedRecord)


def _fields(record: OperationRecord) -> dict[str, Any]:
    """Give what a record of its outcome has."""
    fields: dict[str, Any] = {
        "outcome": str(record.outcome),
        "position": f"{record.partition}:{record.offset}",
        "received_at": rfc3339(record.received_at),
        "request_id": record.request_id,
        "source": record.source,
        "inn": record.inn,
        "amount": record.amount,
        "document_number": record.document_number,
        "document_date": record.document_date and rfc3339(record.document_date),
        "differences": record.differences,
        "reason": record.reason,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _accepted(entry: Entry) -> AcceptedRecord:
    return AcceptedRecord(
        f"{entry.partition}:{entry.offset}",
        rfc3339(entry.received_at),
        entry.request_id,
        entry.source,
        entry.payment.inn,
        entry.payment.amount.quantize(KOPECK),
        entry.payment.document_number,
        rfc3339(entry.payment.document_date),
    )
