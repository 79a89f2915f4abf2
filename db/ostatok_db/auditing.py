"""Reading the ledger to compare it: with the journal, record by record, and with itself."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
from psycopg.rows import TupleRow

from ostatok_db.batch import Outcome
from ostatok_db.connection import mapped_errors
from ostatok_db.queries import queries
from ostatok_db.session import Session

FOUND_MAX = 1_000
"""Rows of a kind that are listed at the most."""

ORGANIZATIONS_AT_ONCE = 1_000
ENTRIES_AT_ONCE = 20_000
FETCHED_AT_ONCE = 5_000


class Recorded(msgspec.Struct, frozen=True):
    """An outcome as the ledger has it; None where that outcome has no such thing."""

    outcome: Outcome
    partition: int
    offset: int
    operation_id: str | None
    inn: str | None
    amount: Decimal | None
    document_number: str | None
    document_date: datetime | None
    source: str | None
    request_id: str | None
    received_at: datetime
    differences: Mapping[str, Mapping[str, str]] | None
    reason: str | None
    key: bytes | None
    value: bytes | None
    header_names: Sequence[bytes] | None
    header_values: Sequence[bytes | None] | None
    timestamp_ms: int | None


class Winner(msgspec.Struct, frozen=True):
    """The payment that an operation became."""

    operation_id: str
    partition: int
    offset: int
    inn: str
    amount: Decimal
    document_number: str
    document_date: datetime


class Organization(msgspec.Struct, frozen=True):
    """What the ledger says of an INN: its last log entry, repeated."""

    inn: str
    balance: Decimal
    entries: int
    head: bytes
    changed_at: datetime


class LoggedEntry(msgspec.Struct, frozen=True):
    """A log entry, and the payment it names; that one's fields are None when there is none."""

    inn: str
    entry: int
    operation_id: str
    amount: Decimal
    previous_balance: Decimal
    new_balance: Decimal
    created_at: datetime
    link: bytes
    payer: str | None
    payment_amount: Decimal | None
    document_number: str | None
    document_date: datetime | None
    topic: str | None
    partition: int | None
    offset: int | None
    received_at: datetime | None
    source: str | None

    def link_after(self, before: bytes) -> bytes:
        """The link that it must have behind another: see ``apply_incoming``.

        Computed here again and not in SQL: a second implementation, of the same rule.
        """
        content = (
            self.inn,
            self.entry,
            self.operation_id,
            self.payment_amount,
            self.new_balance,
            self.document_number,
            _microseconds(self.document_date),
            self.topic,
            self.partition,
            self.offset,
            _microseconds(self.received_at),
            self.source or "",
        )
        return hashlib.sha256(before + "\n".join(map(str, content)).encode()).digest()


class Totals(msgspec.Struct, frozen=True):
    """How many there are, at one moment; they must be the same."""

    entries_of_organizations: int
    log_entries: int
    payments: int


class Digest(msgspec.Struct, frozen=True):
    """What one hash says of the whole ledger, and of which moment."""

    sha256: str
    organizations: int
    topic: str
    topic_id: str
    offsets: Mapping[int, int]
    """Partition → the offset that it was applied up to."""
    replayed: int
    """How many records replays had given their outcome; a replay after it makes it void."""


class AuditReader(Session):
    """A connection that only reads. All raise :class:`LedgerUnavailable`; all block.

    What lies behind the ledger's offsets never changes, so no transaction has to last, but that of
    a digest: none keeps vacuum from its work under a live system.
    """

    name = "audit"

    def outcomes(self, partition: int, first: int, after: int) -> list[Recorded]:
        """Every outcome recorded of the offsets [first, after)."""
        rows = self._rows(
            queries["audit_outcomes"],
            topic=self._topic,
            partition=partition,
            first=first,
            after=after,
        )
        return [Recorded(Outcome(row[0]), partition, *row[1:]) for row in rows]

    def replayed(self, partition: int, first: int, after: int) -> set[int]:
        """Those of the offsets [first, after) that a replay gave their outcome."""
        rows = self._rows(
            queries["audit_replayed"],
            topic=self._topic,
            partition=partition,
            first=first,
            after=after,
        )
        return {row[0] for row in rows}

    def winners(self, operation_ids: Iterable[str]) -> dict[str, Winner]:
        """The payments of those of the operations that have one."""
        rows = self._rows(queries["audit_winners"], operation_ids=list(operation_ids))
        return {row[0]: Winner(*row) for row in rows}

    def organizations(self) -> Iterator[list[Organization]]:
        """Every organization, many at a time."""
        after = ""
        while True:
            rows = self._rows(
                queries["audit_organizations"], after=after, limit=ORGANIZATIONS_AT_ONCE
            )
            if not rows:
                return
            yield [Organization(*row) for row in rows]
            after = rows[-1][0]

    def entries(self, bounds: Mapping[str, tuple[int, int]]) -> list[LoggedEntry]:
        """The log entries of some INNs, of each those from one number to another."""
        rows = self._rows(
            queries["audit_entries"],
            inns=list(bounds),
            firsts=[first for first, _ in bounds.values()],
            lasts=[last for _, last in bounds.values()],
        )
        return [LoggedEntry(*row) for row in rows]

    def totals(self) -> Totals:
        """Count what must be equally many."""
        (row,) = self._rows(queries["audit_totals"])
        return Totals(*row)

    def payments_without_entry(self) -> list[TupleRow]:
        """(operation, INN, partition, offset) of each."""
        return self._rows(queries["audit_payments_without_entry"], limit=FOUND_MAX)

    def entries_beyond(self) -> list[TupleRow]:
        """(INN, entry, operation) of each entry that its INN's row does not know."""
        return self._rows(queries["audit_entries_beyond"], limit=FOUND_MAX)

    def outcomes_beyond(self) -> list[TupleRow]:
        """(partition, offset) of each outcome that lies where the ledger has not come to."""
        return self._rows(queries["audit_outcomes_beyond"], topic=self._topic, limit=FOUND_MAX)

    def other_topics(self) -> list[str]:
        """Topics that have outcomes and are not the ledger's."""
        return [
            row[0] for row in self._rows(queries["audit_other_topics"], topic=self._topic, limit=10)
        ]

    def digest(self, at: Mapping[int, int] | None = None) -> Digest:
        """One hash over the heads of all chains, now or as of older offsets: one moment's.

        Of a line for each INN in the order of its bytes: INN, number of entries, head in
        hexadecimal, with tabs between them.
        """
        with mapped_errors(), self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            stored = self.stored()
            ((replayed,),) = self._rows(queries["count_replayed"])
            digest, many = hashlib.sha256(), 0
            statement, values = queries["digest_heads"], {}
            if at is not None:
                statement = queries["digest_heads_at"]
                values = {
                    "topic": self._topic,
                    "partitions": list(at),
                    "offsets": list(at.values()),
                }
            with self._connection.cursor("heads") as heads:
                heads.itersize = FETCHED_AT_ONCE
                for inn, entries, head in heads.execute(statement, values):
                    digest.update(f"{inn}\t{entries}\t{head.hex()}\n".encode())
                    many += 1
        offsets = at or {partition: offset for partition, (offset, _) in stored.items()}
        topic_id = next((topic_id for _, topic_id in stored.values()), "")
        return Digest(digest.hexdigest(), many, self._topic, topic_id, offsets, replayed)


def _microseconds(moment: datetime | None) -> int | None:
    """Microseconds of the Unix epoch, exactly."""
    if moment is None:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
