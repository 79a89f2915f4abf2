"""Comparing records of the journal with what the ledger made of them: for audit and replay."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from ostatok import journal
from ostatok.journal import DeadLetter, Entry, Record
from ostatok_db.auditing import FOUND_MAX, AuditReader, Recorded, Winner
from ostatok_db.batch import Outcome
from ostatok_db.connection import REFUSED_REASON
from ostatok_db.rows import dead_letter_row

_PLACE = ("topic", "partition", "offset")
_BODY = ("operation_id", "key", "value", "header_names", "header_values")
"""The columns of a dead letter that come from its body."""


class Kind(StrEnum):
    """What can be wrong."""

    NO_OUTCOME = "no outcome"
    TWO_OUTCOMES = "two outcomes"
    NO_RECORD = "no record"
    DIFFERS = "differs from the journal"
    BALANCE = "balance"
    LOG = "log"
    CHAIN = "chain"
    TOPIC = "topic"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where: a position, or an INN's entry."""

    kind: Kind
    where: str
    what: str


class Found(msgspec.Struct, kw_only=True):
    """All that is wrong, of which only so much can be listed."""

    wrong: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    """The first of what is wrong; ``wrong`` counts all."""

    def add(self, found: Iterable[Finding]) -> None:
        """Take findings in, and keep as many as can be listed."""
        for one in found:
            self.wrong += 1
            if len(self.findings) < FOUND_MAX:
                self.findings.append(one)


class Comparison(msgspec.Struct, frozen=True):
    """What comparing a range brought to light."""

    findings: Sequence[Finding]
    missing: Sequence[Record]
    """Records without an outcome."""
    seen: int
    """Records with exactly the outcome that is theirs."""


def compare(
    ledger: AuditReader, records: Sequence[Record], ranges: Mapping[int, tuple[int, int]], many: int
) -> Comparison:
    """Compare what lies in ranges of some of ``many`` partitions; ``records`` is all of it."""
    entries, dead = journal.read(records, many)
    expected: dict[tuple[int, int], Entry | DeadLetter] = {
        (one.partition, one.offset): one for one in entries
    }
    expected |= {(one.record.partition, one.record.offset): one for one in dead}
    found: dict[tuple[int, int], list[Recorded]] = {}
    for partition, (first, after) in ranges.items():
        for one in ledger.outcomes(partition, first, after):
            found.setdefault((partition, one.offset), []).append(one)
    repeated = {
        entry.payment.operation_id
        for entry in entries
        if any(_is_repeat(one) for one in found.get((entry.partition, entry.offset), ()))
    }
    winners = ledger.winners(repeated) if repeated else {}
    replayed = {
        (partition, offset)
        for partition, (first, after) in ranges.items()
        for offset in ledger.replayed(partition, first, after)
    }
    findings: list[Finding] = []
    missing: list[Record] = []
    seen = 0
    for position in sorted({*expected, *found}):
        rows = found.get(position, [])
        finding = _at(expected.get(position), rows, winners, late=position in replayed)
        if finding is None:
            seen += 1
            continue
        kind, what = finding
        findings.append(Finding(kind, f"{position[0]}:{position[1]}", what))
        if kind is Kind.NO_OUTCOME:
            missing.append(expected[position].record)
    return Comparison(findings, missing, seen)


def _is_repeat(one: Recorded) -> bool:
    return one.outcome in (Outcome.DUPLICATE, Outcome.CONFLICT)


def _at(
    record: Entry | DeadLetter | None,
    rows: Sequence[Recorded],
    winners: Mapping[str, Winner],
    *,
    late: bool,
) -> tuple[Kind, str] | None:
    """Say what is wrong at one position; None when nothing is."""
    if record is None:
        return Kind.NO_RECORD, f"is {rows[0].outcome}, and the topic has no record there"
    if not rows:
        named = f"operation {record.payment.operation_id}" if isinstance(record, Entry) else "dead"
        return Kind.NO_OUTCOME, f"the record ({named}) has no outcome"
    if len(rows) > 1:
        return Kind.TWO_OUTCOMES, " and ".join(sorted(str(one.outcome) for one in rows))
    (row,) = rows
    if isinstance(record, Entry):
        wrong = _of_payment(record, row, winners, late=late)
    else:
        wrong = _of_dead(record, row)
    if wrong is None:
        return None
    named = f"operation {row.operation_id}: " if row.operation_id else ""
    return Kind.DIFFERS, f"{named}{wrong}"


def _of_payment(
    entry: Entry, row: Recorded, winners: Mapping[str, Winner], *, late: bool
) -> str | None:
    paid = entry.payment
    if row.outcome is Outcome.DEAD:
        if not (row.reason or "").startswith(REFUSED_REASON):
            return "is dead, and the record is a payment"
        return _of_dead(
            DeadLetter(entry.record, row.reason or "", entry.received_at, entry.request_id), row
        )
    expected: dict[str, Any] = {
        "operation_id": paid.operation_id,
        "inn": paid.inn,
        "source": entry.source,
        "request_id": entry.request_id,
        "received_at": entry.received_at,
    }
    if row.outcome is Outcome.APPLIED:
        expected |= {
            "amount": paid.amount,
            "document_number": paid.document_number,
            "document_date": paid.document_date,
        }
    if wrong := _differing(expected, row):
        return wrong
    return _of_repeat(entry, row, winners, late=late) if _is_repeat(row) else None


def _of_repeat(
    entry: Entry, row: Recorded, winners: Mapping[str, Winner], *, late: bool
) -> str | None:
    """Within a partition the first record of an operation wins, unless it was replayed ``late``."""
    paid, winner = entry.payment, winners.get(entry.payment.operation_id)
    if winner is None:
        return f"is a {row.outcome} of an operation that no payment has"
    if winner.partition == entry.partition and winner.offset > entry.offset and not late:
        return f"is a {row.outcome} of a later record, {winner.partition}:{winner.offset}"
    fields = {
        "payer_inn": (winner.inn, paid.inn),
        "amount": (winner.amount, paid.amount),
        "document_number": (winner.document_number, paid.document_number),
        "document_date": (winner.document_date, paid.document_date),
    }
    differing = {name for name, (recorded, received) in fields.items() if recorded != received}
    if differing != set(row.differences or ()):
        said = ", ".join(sorted(row.differences or ())) or "nothing"
        truly = ", ".join(sorted(differing)) or "nothing"
        return f"is a {row.outcome} that says {said} differs from its payment; {truly} does"
    return None


def _of_dead(letter: DeadLetter, row: Recorded) -> str | None:
    if row.outcome is not Outcome.DEAD:
        return f"is {row.outcome}, and the record can be no payment: {letter.reason}"
    expected = dead_letter_row("", letter)
    for name in (*_PLACE, *(_BODY if _is_emptied(row) else ())):
        del expected[name]
    if row.operation_id is None:
        expected.pop("operation_id", None)  # Of a worker of before it was kept.
    return _differing(expected, row)


def _is_emptied(row: Recorded) -> bool:
    """Say whether somebody emptied the body for good, as docs/data.md lets him."""
    return row.key is None and row.value is None and not row.header_names


def _differing(expected: Mapping[str, Any], row: Recorded) -> str | None:
    """Name the fields of a row that are not as the record has them; values are in neither log."""
    names = [name for name, value in expected.items() if getattr(row, name) != value]
    return f"{', '.join(names)}: not what the record says" if names else None


def ranges_of(
    records: Iterable[Record], positions: dict[int, int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Give the range of each partition that records cover, from where each was; moves these on."""
    after: dict[int, int] = {}
    for record in records:
        after[record.partition] = record.offset + 1
    for partition, offset in after.items():
        yield partition, (positions[partition], offset)
        positions[partition] = offset
