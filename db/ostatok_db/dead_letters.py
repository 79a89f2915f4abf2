"""Dead letters as operators see them, and what they decide."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self

import msgspec
import psycopg
from psycopg.rows import TupleRow

from ostatok.settings import Settings
from ostatok_db.connection import conninfo, mapped_errors
from ostatok_db.queries import queries


class Decision(StrEnum):
    """What can be decided about a dead letter. The letter stays, whatever it is."""

    REDRIVEN = "redriven"
    """A record that can be a payment was published in its place."""
    DISCARDED = "discarded"
    """Nothing is to be made of it, for the reason given."""


class Letter(msgspec.Struct, frozen=True):
    """A dead letter less its record, and the last decision about it; None where there is none."""

    partition: int
    offset: int
    operation_id: str | None
    reason: str
    received_at: datetime
    decision: Decision | None
    decision_reason: str | None
    new_partition: int | None
    new_offset: int | None
    decided_by: str | None
    decided_at: datetime | None


_FIELDS = Letter.__struct_fields__


class Content(msgspec.Struct, frozen=True):
    """The record of a dead letter as it came; all None and empty once somebody emptied it."""

    key: bytes | None
    value: bytes | None
    header_names: Sequence[bytes]
    header_values: Sequence[bytes | None]
    timestamp_ms: int


class Filter(msgspec.Struct, frozen=True):
    """Which dead letters; None for all."""

    position: tuple[int, int] | None = None
    operation_id: str | None = None
    reason: str | None = None
    """Part of the reason, in any case."""
    since: datetime | None = None
    until: datetime | None = None
    decided: bool | None = None


class DeadLetters:
    """A connection of an operator. All raise :class:`LedgerUnavailable`; all block."""

    def __init__(self, connection: psycopg.Connection[TupleRow], topic: str) -> None:
        self._connection = connection
        self._topic = topic

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Open a connection of its own."""
        with mapped_errors():
            target = conninfo(settings, name="dead letters", writes=True)
            return cls(psycopg.connect(target, autocommit=True), settings.topic)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find(self, which: Filter, limit: int) -> list[Letter]:
        """Dead letters, the earliest first, at most so many."""
        partition, offset = which.position or (None, None)
        values = {
            "topic": self._topic,
            "partition": partition,
            "offset": offset,
            "operation_id": which.operation_id,
            "reason": which.reason,
            "since": which.since,
            "until": which.until,
            "decided": which.decided,
            "limit": limit,
        }
        with mapped_errors():
            rows = self._connection.execute(queries["list_dead_letters"], values).fetchall()
        return [msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Letter) for row in rows]

    def content(self, letter: Letter) -> Content:
        """The record of a dead letter."""
        where = {"topic": self._topic, "partition": letter.partition, "offset": letter.offset}
        with mapped_errors():
            (row,) = self._connection.execute(queries["read_dead_letter"], where).fetchall()
        return Content(*row)

    def decide(
        self,
        letter: Letter,
        decision: Decision,
        *,
        by: str,
        reason: str | None = None,
        new: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Keep a decision; of a redriven one, where the new record lies."""
        new_partition, new_offset = new
        values = {
            "topic": self._topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "decision": decision,
            "reason": reason,
            "new_partition": new_partition,
            "new_offset": new_offset,
            "decided_by": by,
        }
        with mapped_errors():
            self._connection.execute(queries["record_decision"], values)
