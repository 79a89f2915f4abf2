"""Looking around in the ledger: what the console's pages show, a page at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from ostatok.payment import LATEST
from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_db.history import LogEntry, Point
from ostatok_db.pool import Connections
from ostatok_db.queries import queries

RANKED = 20
"""Organizations in each ranking of a snapshot."""

SAMPLES_MAX = 240
"""Points of a chart."""

SEARCHED_MAX = 5_000
"""Entries that are looked through at once for a document."""

DOCUMENTS_MAX = 50
"""Entries with one document number that are given."""

Place = tuple[datetime, int, int]
"""Where a list of records goes on: received at, partition, offset."""

_BEFORE_ALL = datetime.min.replace(tzinfo=LATEST.tzinfo)
_BEHIND_ALL: Place = (LATEST, 0, 0)


class Organization(msgspec.Struct, frozen=True):
    """One organization in a list. Money is rubles."""

    inn: str
    balance: Decimal
    entries: int
    changed_at: datetime


class WholeOrganization(msgspec.Struct, frozen=True):
    """One organization, with the hash at the head of its chain."""

    inn: str
    balance: Decimal
    entries: int
    changed_at: datetime
    head: bytes
    began_at: datetime
    points: list[Point]
    """Where its log stood just before each moment that was asked for."""


class LogPage(NamedTuple):
    """Some entries of a log, and how the balance went over more of it."""

    entries: list[LogEntry]
    samples: list[tuple[datetime, Decimal]]
    """The time of some entries and the balance after each, in order."""


class Ranking(msgspec.Struct, frozen=True):
    """All organizations at one moment: how many, their sum, and those that stand out."""

    organizations: int
    balance: Decimal
    entries: int
    biggest: Sequence[Organization]
    latest: Sequence[Organization]


class Conflict(msgspec.Struct, frozen=True):
    """A record that was refused: its operation had been recorded with other content."""

    partition: int
    offset: int
    operation_id: str
    inn: str
    differences: Mapping[str, Mapping[str, str]]
    """Field → what the ledger recorded, and what was received."""
    source: str | None
    request_id: str | None
    received_at: datetime

    @property
    def position(self) -> str:
        """Its place, as receipts name places."""
        return f"{self.partition}:{self.offset}"


class DocumentEntry(msgspec.Struct, frozen=True):
    """An entry of a log whose payment has the document number that was asked for."""

    entry: int
    operation_id: str
    amount: Decimal
    created_at: datetime
    document_date: datetime


class DeadRecord(msgspec.Struct, frozen=True):
    """A dead letter in short."""

    partition: int
    offset: int
    operation_id: str | None
    reason: str
    received_at: datetime

    @property
    def position(self) -> str:
        """Its place, as receipts name places."""
        return f"{self.partition}:{self.offset}"


class Found(NamedTuple):
    """What lies at a position."""

    operation_id: str | None
    """None for a dead letter that names none."""
    outcome: Outcome


class Browser:
    """Pages of the ledger, and look-ups. Every method raises :class:`LedgerUnavailable`."""

    def __init__(self, settings: Settings, pool: Connections) -> None:
        self._topic = settings.topic
        self._pool = pool

    async def organizations(self, prefix: str, after: str, limit: int) -> list[Organization]:
        """Those whose INN begins with some digits, in order, behind one of them ("": the first)."""
        values = {
            "low": prefix,
            "high": _behind(prefix),
            "after": after,
            "limit": limit,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["list_organizations"], values)
            return [Organization(*row) for row in await cursor.fetchall()]

    async def organization(self, inn: str, *moments: datetime) -> WholeOrganization | None:
        """One of them, and where its log stood at some moments; None for an INN that never paid."""
        values = {"inn": inn, "moments": list(moments)}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_organization_whole"], values)
            row = await cursor.fetchone()
        if row is None:
            return None
        points = [Point(*one) for one in zip(row[6], row[7], strict=True)]
        return WholeOrganization(row[0], row[1], row[2], row[3], row[4], row[5], points)

    async def ranking(self) -> Ranking:
        """Look at all organizations. Reads every row: for a snapshot, not for a request."""
        limit = {"limit": RANKED}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["summarize_organizations"])
            ((organizations, balance, entries),) = await cursor.fetchall()
            cursor = await connection.execute(queries["rank_by_balance"], limit)
            biggest = [Organization(*row) for row in await cursor.fetchall()]
            cursor = await connection.execute(queries["rank_by_activity"], limit)
            latest = [Organization(*row) for row in await cursor.fetchall()]
        return Ranking(organizations, balance, entries, biggest, latest)

    async def log_page(self, inn: str, first: int, last: int, over: range) -> LogPage:
        """The entries from ``first`` to ``last``, both included, and some of ``over``, evenly."""
        step = max(1, -(-(len(over) - 1) // (SAMPLES_MAX - 1)))
        wanted = sorted({*over[::step], *over[-1:]})
        values = {"inn": inn, "first": first, "last": last, "samples": wanted}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_log_page"], values)
            rows = await cursor.fetchall()
        # A sample has no operation.
        entries = [LogEntry(*row) for row in rows if row[1] is not None]
        return LogPage(entries, [(row[5], row[4]) for row in rows if row[1] is None])

    async def entries_by_document(
        self, inn: str, document_number: str, first: int, last: int
    ) -> list[DocumentEntry]:
        """The entries from ``first`` to ``last`` with a document number, the latest first.

        Each is looked at: ask for :data:`SEARCHED_MAX` at the most.
        """
        values = {
            "inn": inn,
            "document_number": document_number,
            "first": first,
            "last": last,
            "limit": DOCUMENTS_MAX,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["find_entries_by_document"], values)
            return [DocumentEntry(*row) for row in await cursor.fetchall()]

    async def at(self, partition: int, offset: int) -> Found | None:
        """What lies at a position; None when nothing there has its outcome."""
        values = {"topic": self._topic, "partition": partition, "offset": offset}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["find_operation_at"], values)
            row = await cursor.fetchone()
        return None if row is None else Found(row[0], Outcome(row[1]))

    async def conflicts(
        self,
        limit: int,
        *,
        inn: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: Place | None = None,
    ) -> list[Conflict]:
        """Conflicts, the latest first: of an INN or of all, in a period, and before one of them."""
        received_at, partition, offset = before or _BEHIND_ALL
        values = {
            "topic": self._topic,
            "inn": inn,
            "since": since or _BEFORE_ALL,
            "until": until or LATEST,
            "before_received_at": received_at,
            "before_partition": partition,
            "before_offset": offset,
            "limit": limit,
        }
        query = queries["list_conflicts"] if inn is None else queries["list_conflicts_of"]
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return [Conflict(*row) for row in await cursor.fetchall()]

    async def conflict(self, partition: int, offset: int) -> Conflict | None:
        """The conflict at a position; None when there is none."""
        values = {"topic": self._topic, "partition": partition, "offset": offset}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_conflict"], values)
            row = await cursor.fetchone()
        return None if row is None else Conflict(*row)

    async def latest_dead(self, limit: int) -> list[DeadRecord]:
        """The latest dead letters, the latest first."""
        values = {"topic": self._topic, "limit": limit}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["latest_dead_letters"], values)
            return [DeadRecord(*row) for row in await cursor.fetchall()]

    async def outcomes_between(self, bounds: Mapping[int, tuple[int, int]]) -> dict[Outcome, int]:
        """How many records of [first, end) of each partition moved no money, by their outcome."""
        values = {
            "topic": self._topic,
            "partitions": list(bounds),
            "firsts": [first for first, _ in bounds.values()],
            "ends": [end for _, end in bounds.values()],
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["count_outcomes_between"], values)
            return {Outcome(outcome): count for outcome, count in await cursor.fetchall()}


def _behind(prefix: str) -> str | None:
    """The first text behind all that begin with these digits; None when nothing can be."""
    digits = prefix.rstrip("9")
    return f"{digits[:-1]}{int(digits[-1]) + 1}" if digits else None
