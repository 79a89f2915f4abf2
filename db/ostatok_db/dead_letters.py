"""Dead letters as operators see them, and what they decide."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, LiteralString, NamedTuple, Self

import msgspec
import psycopg
from psycopg.rows import TupleRow

from ostatok.errors import DeadLetterDecided, DeadLetterUnknown
from ostatok.payment import LATEST
from ostatok.settings import Settings
from ostatok_db.browsing import Place
from ostatok_db.connection import USE_SCHEMA, conninfo, mapped_errors
from ostatok_db.content import Content
from ostatok_db.queries import queries

LOOKS_MAX = 5_000
"""Dead letters that are looked at for one page, wanted or not."""

LOCK_SECONDS_MAX = 5
"""How long one who decides waits for another who decides about the same dead letter."""


class Decision(StrEnum):
    """What can be decided about a dead letter. The letter stays, whatever it is."""

    REDRIVEN = "redriven"
    """A record that can be a payment was published in its place."""
    DISCARDED = "discarded"
    """Nothing is to be made of it, for the reason given."""


class Decided(msgspec.Struct, frozen=True):
    """One decision about a dead letter; None where it has no such thing."""

    decision: Decision
    reason: str | None
    new_partition: int | None
    new_offset: int | None
    decided_by: str
    decided_at: datetime


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

    @property
    def position(self) -> str:
        """Its place, as receipts name places."""
        return f"{self.partition}:{self.offset}"

    @property
    def last(self) -> Decided | None:
        """The last decision about it."""
        if self.decision is None or self.decided_by is None or self.decided_at is None:
            return None
        return Decided(
            self.decision,
            self.decision_reason,
            self.new_partition,
            self.new_offset,
            self.decided_by,
            self.decided_at,
        )

    def require_undecided(self) -> None:
        """Raise :class:`DeadLetterDecided` when somebody has decided about it."""
        if self.last is not None:
            raise _refusal(self, self.last)


_FIELDS = Letter.__struct_fields__
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_FIRST = (_BEFORE_ALL, -1, -1)


def _letter(row: TupleRow) -> Letter:
    return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Letter)


def _refusal(letter: Letter, made: Decided) -> DeadLetterDecided:
    return DeadLetterDecided(
        f"The dead letter {letter.position} was {made.decision} by {made.decided_by}.",
        hint="Give --again, over HTTP ?again=true, to decide about it anew.",
    )


class Filter(msgspec.Struct, frozen=True):
    """Which dead letters; None for all."""

    operation_id: str | None = None
    reason: str | None = None
    """Part of the reason, in any case."""
    since: datetime | None = None
    until: datetime | None = None
    decided: bool | None = None


class Page(NamedTuple):
    """Dead letters of a list that goes on."""

    letters: list[Letter]
    following: Place | None
    """Behind which it goes on; None at its end."""


class DeadLetters:
    """A connection of an operator. All raise :class:`LedgerUnavailable`; all block."""

    def __init__(
        self, connection: psycopg.Connection[TupleRow], topic: str, schema: str | None = None
    ) -> None:
        """Take a connection; ``schema`` is for one that does not know it by itself."""
        self._connection = connection
        self._topic = topic
        self._schema = schema

    @classmethod
    def connect(
        cls,
        settings: Settings,
        *,
        writes: bool = True,
        statement_seconds_max: float | None = None,
        pgbouncer: bool = False,
    ) -> Self:
        """Open a connection of its own: directly, or through PgBouncer in transaction mode."""
        with mapped_errors():
            if pgbouncer:
                connection = psycopg.connect(
                    settings.database_conninfo, autocommit=True, prepare_threshold=None
                )
                return cls(connection, settings.topic, settings.database_schema)
            target = conninfo(
                settings,
                name="dead letters",
                statement_seconds_max=statement_seconds_max,
                writes=writes,
            )
            return cls(psycopg.connect(target, autocommit=True), settings.topic)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find(self, which: Filter, limit: int) -> list[Letter]:
        """Dead letters, the earliest first, at most so many."""
        values = self._values(which, None, None)
        rows = self._rows(queries["list_dead_letters"], {**values, "limit": limit})
        return list(map(_letter, rows))

    def page(self, which: Filter, limit: int, after: Place | None = None) -> Page:
        """Some of them, of :data:`LOOKS_MAX` at the most: a page costs the same, however many.

        It may hold fewer than ``limit``, or none, and there are more nevertheless.
        """
        values = self._values(which, after, LOOKS_MAX)
        rows = self._rows(queries["list_dead_letters"], {**values, "limit": limit + 1})
        letters = list(map(_letter, rows[:limit]))
        if len(rows) > limit:
            last = letters[-1]
            return Page(letters, (last.received_at, last.partition, last.offset))
        end = self._rows(queries["find_end_of_look"], values)
        return Page(letters, (end[0][0], end[0][1], end[0][2]) if end else None)

    def _values(
        self, which: Filter, after: Place | None, looks_max: int | None
    ) -> dict[str, object]:
        received_at, partition, offset = after or _FIRST
        return {
            "topic": self._topic,
            "operation_id": which.operation_id,
            "reason": which.reason,
            "since": which.since or _BEFORE_ALL,
            "until": which.until or LATEST,
            "decided": which.decided,
            "after_received_at": received_at,
            "after_partition": partition,
            "after_offset": offset,
            "looks_max": looks_max,
        }

    def at(self, partition: int, offset: int) -> Letter:
        """The dead letter at a place. Raises :class:`DeadLetterUnknown`."""
        letter, _ = self.whole_at(partition, offset)
        return letter

    def whole_at(self, partition: int, offset: int) -> tuple[Letter, Content]:
        """The same with its record. Raises :class:`DeadLetterUnknown`."""
        where = {"topic": self._topic, "partition": partition, "offset": offset}
        for row in self._rows(queries["find_dead_letter"], where):
            fields = len(_FIELDS)
            return _letter(row[:fields]), Content(*row[fields:])
        raise DeadLetterUnknown(f"There is no dead letter at {partition}:{offset}.")

    def content(self, letter: Letter) -> Content:
        """The record of a dead letter."""
        (row,) = self._rows(queries["read_dead_letter"], self._where(letter))
        return Content(*row)

    def decisions(self, letter: Letter) -> list[Decided]:
        """Everything that was decided about a dead letter, the earliest first."""
        rows = self._rows(queries["read_decisions"], self._where(letter))
        return [Decided(Decision(decision), *row) for decision, *row in rows]

    @contextmanager
    def deciding(self, letter: Letter, *, again: bool) -> Iterator[None]:
        """Let nobody else decide about a dead letter meanwhile.

        What fails in here decides nothing. Raises :class:`DeadLetterDecided` when somebody has
        decided since it was read, too, and it is not to be decided ``again``.
        """
        with self._transaction():
            wait = {"name": "lock_timeout", "limit": f"{LOCK_SECONDS_MAX}s"}
            self._connection.execute(queries["limit_transaction"], wait)
            self._connection.execute(queries["lock_dead_letter"], self._where(letter))
            # Not the dead letter itself: its table would be locked until Kafka has answered.
            made = [] if again else self.decisions(letter)
            if made:
                raise _refusal(letter, made[-1])
            yield

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
            **self._where(letter),
            "decision": decision,
            "reason": reason,
            "new_partition": new_partition,
            "new_offset": new_offset,
            "decided_by": by,
        }
        with self._transaction():
            self._connection.execute(queries["record_decision"], values)

    def discard(self, letter: Letter, *, by: str, because: str, again: bool = False) -> None:
        """Decide that nothing is to be made of a dead letter. Raises DeadLetterDecided."""
        with self.deciding(letter, again=again):
            self.decide(letter, Decision.DISCARDED, by=by, reason=because)

    def _where(self, letter: Letter) -> dict[str, object]:
        return {"topic": self._topic, "partition": letter.partition, "offset": letter.offset}

    def _rows(self, query: LiteralString, values: dict[str, Any]) -> list[TupleRow]:
        with self._transaction():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with mapped_errors(), self._connection.transaction():
            if self._schema is not None:
                self._connection.execute(USE_SCHEMA, {"schema": self._schema})
            yield
