"""How records become rows, and rows what is told of them."""

from typing import Any

from psycopg.rows import TupleRow

from ostatok.journal import DeadLetter, Entry
from ostatok.payment import operation_id_of
from ostatok_db.batch import Outcome, Repeat


def copy_line(entry: Entry) -> str:
    """Write a line of COPY's text format.

    Three fields may hold a backslash; none a control character, which the grammar and the reading
    of headers keep out.
    """
    payment = entry.payment
    return (
        f"{payment.operation_id}\t{payment.inn}\t{payment.amount}\t"
        f"{copy_text(payment.document_number)}\t{payment.document_date.isoformat()}\t"
        f"{copy_text(entry.source)}\t{copy_text(entry.request_id)}\t"
        f"{entry.partition}\t{entry.offset}\t{entry.received_at.isoformat()}\n"
    )


def copy_text(value: str | None) -> str:
    """A field of that format."""
    return r"\N" if value is None else value.replace("\\", "\\\\")


def dead_letter_row(topic: str, letter: DeadLetter) -> dict[str, Any]:
    """Give the columns of a dead letter."""
    record = letter.record
    headers = record.headers or ()
    return {
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "operation_id": operation_id_of(record.value or b""),
        "reason": letter.reason,
        "key": record.key,
        "value": record.value,
        "header_names": [name.encode(errors="surrogateescape") for name, _ in headers],
        "header_values": [value for _, value in headers],
        "timestamp_ms": record.timestamp_ms,
        "received_at": letter.received_at,
    }


def repeat_of(row: TupleRow) -> Repeat:
    """Read what ``record_repeats`` gives."""
    partition, offset, outcome, *rest = row
    return Repeat(partition, offset, Outcome(outcome), *rest)
