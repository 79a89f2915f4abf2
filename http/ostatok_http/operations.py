"""The receipt of an operation: every record of it, and what became of each."""

from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from aiohttp import hdrs, web

from ostatok.journal import Entry, rfc3339
from ostatok.payment import is_operation_id
from ostatok_db.history import OperationRecord
from ostatok_http.doors.identity import IDENTITY, Identity
from ostatok_http.ok import Ok
from ostatok_http.parameters import Parameters
from ostatok_http.shapes import AcceptedRecord, Operation, Record, encode
from ostatok_http.story import Stories, Story

KOPECK = Decimal("0.01")


class OperationEndpoint:
    """Tells an operation's story as JSON."""

    def __init__(self, stories: Stories) -> None:
        self._stories = stories

    async def get(self, request: web.Request) -> Ok:
        """Answer 200 with the operation's records, or 404 when the journal has none."""
        operation_id = request.match_info["operation_id"].lower()
        if not is_operation_id(operation_id):
            _refuse()
        Parameters(request.query).check()
        story = await self._stories.of(operation_id)
        if not _may_see(request.get(IDENTITY), story):
            story = await self._stories.of_unknown(operation_id)
        if story.tail_error is not None:
            raise story.tail_error
        records = [*map(_accepted, story.accepted), *_recorded(story)]
        if not records:
            _refuse()
        body = Operation(operation_id, story.status, records)
        return Ok(encode(body), {hdrs.CACHE_CONTROL: "no-store"})


def _refuse() -> NoReturn:
    raise web.HTTPNotFound


def _may_see(identity: Identity | None, story: Story) -> bool:
    """Whether somebody may know of an operation: when all INNs that its records name are his.

    A conflict says what two INNs' records have in common, and a record without an INN is nobody's.
    """
    if identity is None or identity.inns is None:
        return True
    inns = {record.inn for record in story.records if record.inn is not None}
    inns |= {entry.payment.inn for entry in story.accepted}
    return bool(inns) and inns <= identity.inns


def _recorded(story: Story) -> list[Record]:
    """Give the records that have their outcome, the applied one first."""
    fields = [_fields(record) for record in story.records]
    if story.entry is not None:
        fields[0] |= {
            "entry": story.entry.entry,
            "previous_balance": story.entry.previous_balance,
            "new_balance": story.entry.new_balance,
            "created_at": rfc3339(story.entry.created_at),
        }
    return msgspec.convert(fields, list[Record])


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
