"""The payments of a ledger that a topic lacks."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from ostatok.journal import Entry
from ostatok.payment import Payment
from ostatok.settings import Settings
from ostatok_db.connection import mapped_errors
from ostatok_db.queries import queries
from ostatok_db.rows import copy_text
from ostatok_db.session import Session

FETCHED_AT_ONCE = 5_000


class Paid(NamedTuple):
    """A payment, and what the ledger knows of its record."""

    payment: Payment
    source: str | None
    request_id: str | None
    received_at: datetime
    partition: int
    """Where the record was, in the topic that the ledger was built from."""
    offset: int


class Payments(Session):
    """Those of a ledger, and which of them a topic holds: at first none."""

    name = "reseed"
    writes = True

    def __init__(self, connection: psycopg.Connection[TupleRow], settings: Settings) -> None:
        super().__init__(connection, settings)
        with mapped_errors():
            connection.execute(queries["make_held"])
            connection.execute(queries["make_missing"])

    def hold(self, entries: Iterable[Entry]) -> None:
        """Know that the topic holds these."""
        with (
            mapped_errors(),
            self._connection.cursor() as cursor,
            cursor.copy(queries["copy_held"]) as copy,
        ):
            copy.write("".join(_line(entry.payment) for entry in entries))

    def missing(self) -> int:
        """How many payments the topic lacks."""
        ((many,),) = self._rows(queries["count_missing"], topic=self._topic)
        return int(many)

    def read_missing(self) -> Iterator[Paid]:
        """Give those, each partition's in order."""
        with (
            mapped_errors(),
            self._connection.transaction(),
            self._connection.cursor("missing") as cursor,
        ):
            cursor.itersize = FETCHED_AT_ONCE
            for operation_id, amount, inn, number, date, *rest in cursor.execute(
                queries["read_missing"], {"topic": self._topic}
            ):
                yield Paid(Payment(operation_id, amount, inn, number, date), *rest)

    def others(self) -> tuple[int, int]:
        """How many repeats and how many dead letters the ledger has."""
        ((repeats, dead),) = self._rows(queries["count_others"], topic=self._topic)
        return repeats, dead


def _line(payment: Payment) -> str:
    return (
        f"{payment.operation_id}\t{payment.inn}\t{payment.amount}\t"
        f"{copy_text(payment.document_number)}\t{payment.document_date.isoformat()}\n"
    )
