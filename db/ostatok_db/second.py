"""A second ledger of the same topic, in a schema beside the live one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ostatok.errors import LedgerError
from ostatok.journal import Entry, partition_of
from ostatok.settings import Settings
from ostatok_db.connection import mapped_errors
from ostatok_db.migrate import LOCK_KEY as MIGRATE_LOCK_KEY
from ostatok_db.queries import queries
from ostatok_db.session import Session

TABLES = (
    "applied_offset",
    "organization",
    "balance_log",
    "payment",
    "duplicate",
    "dead_letter",
    "replayed",
)
"""In the order in which every statement of ours locks those that it needs."""

LOCK_SECONDS_MAX = 2
"""How long a swap waits for a batch or a read that is under way, for each table: those that come
meanwhile wait behind it."""

STATEMENT_SECONDS_MAX = 20

FOUND_MAX = 1_000


class Difference(msgspec.Struct, frozen=True):
    """One thing that the live ledger and the second one do not have alike."""

    inn: str
    kind: str
    what: str


class Pair(Session):
    """The live ledger and a second one.

    With ``new_topic`` the second is of another topic, of the same name.
    """

    name = "rebuild"
    writes = True

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        settings: Settings,
        *,
        new_topic: bool = False,
    ) -> None:
        super().__init__(connection, settings)
        self._new_topic = new_topic
        self.live = settings.database_schema
        self.second = f"{self.live}_rebuild"
        self.before = f"{self.live}_before"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See that no other rebuild of this ledger runs: they would share the second one."""
        ((taken,),) = self._rows(queries["lock_rebuild"], schema=self.live)
        if not taken:
            raise LedgerError("Another rebuild of this ledger is under way.")
        try:
            yield
        finally:
            # It goes with the connection too, but only once the server has noticed.
            with suppress(LedgerError):
                self._rows(queries["unlock_rebuild"], schema=self.live)

    def check(self) -> None:
        """Raise LedgerError when a rebuild would not be of this ledger as a whole."""
        others = [row[0] for row in self._rows(queries["other_journals"], topic=self._topic)]
        if others:
            raise LedgerError(
                f"The ledger is made of another topic too: {others[0]}.",
                hint="A rebuild makes it of one; a swap would drop the rest.",
            )

    def require_no_before(self) -> None:
        """Raise when the place is taken where a swap puts the live one."""
        statement: LiteralString = "SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s"
        if self._rows(statement, schema=self.before):
            raise LedgerError(
                f"The schema {self.before} is there: what an earlier swap replaced.",
                hint=f'DROP SCHEMA "{self.before}" CASCADE once you do not need it.',
            )

    def drop(self, schema: str) -> None:
        """Drop a schema and all that is in it; one that is not there is none to drop."""
        with mapped_errors():
            statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            self._connection.execute(statement.format(sql.Identifier(schema)))

    def counted_elsewhere(
        self, read: Sequence[Entry], ranges: Mapping[int, tuple[int, int]]
    ) -> dict[str, str]:
        """Operations that count with another INN than they were read with → that INN.

        ``read`` are all entries of the ``ranges``: partition → [first, after).
        """
        doubtful = read if self._new_topic else self._not_counted_there(read, ranges)
        if not doubtful:
            return {}
        rows = self._of_both(
            queries["counted_elsewhere"],
            operation_ids=[entry.payment.operation_id for entry in doubtful],
            inns=[entry.payment.inn for entry in doubtful],
        )
        # A payment that lies where its INN can't was changed by hand.
        return {
            operation_id: inn
            for operation_id, inn, partition, partitions in rows
            if partition_of(inn, partitions) == partition
        }

    def _not_counted_there(
        self, read: Sequence[Entry], ranges: Mapping[int, tuple[int, int]]
    ) -> Sequence[Entry]:
        """Leave the entries at whose place the live ledger has no payment: mostly none.

        A range costs less to look up than its operations do one by one.
        """
        where = {
            "partitions": list(ranges),
            "firsts": [first for first, _ in ranges.values()],
            "afters": [after for _, after in ranges.values()],
        }
        ((many,),) = self._of_both(queries["count_payments_in"], **where)
        if many == len(read):
            return []
        there = set(self._of_both(queries["payments_in"], **where))
        return [entry for entry in read if (entry.partition, entry.offset) not in there]

    def second_topic(self) -> str | None:
        """The id of the topic that the second one is of; None when there is none yet."""
        with mapped_errors():
            table = sql.Identifier(self.second, "applied_offset").as_string(self._connection)
            ((found,),) = self._connection.execute("SELECT to_regclass(%s)", (table,)).fetchall()
            if found is None:
                return None
            statement = sql.SQL("SELECT min(topic_id) FROM {} WHERE topic = {}").format(
                sql.Identifier(self.second, "applied_offset"), self._topic
            )
            ((topic_id,),) = self._connection.execute(statement).fetchall()
            return None if topic_id is None else str(topic_id)

    def offsets(self, schema: str) -> dict[int, int]:
        """How far the live one or the second one is."""
        statement = sql.SQL("SELECT partition, next_offset FROM {} WHERE topic = {}").format(
            sql.Identifier(schema, "applied_offset"), self._topic
        )
        with mapped_errors():
            return dict(self._connection.execute(statement).fetchall())

    def differences(self) -> list[Difference]:
        """What they do not have alike, of what the second has come to.

        Of two topics: payments and balances.
        """
        query = queries["differences_of_money"] if self._new_topic else queries["differences"]
        return [Difference(*row) for row in self._of_both(query, limit=FOUND_MAX)]

    def require_all_payments(self) -> None:
        """Raise LedgerError when the second one, of a new topic, lacks payments of the live one."""
        if not self._new_topic:
            return
        ((many,),) = self._of_both(queries["count_lacking"])
        if many:
            raise LedgerError(
                f"The new topic lacks {many} payments of the ledger: a swap would lose them.",
                hint="`ostatok reseed` writes them; then the same command again.",
            )

    def swap(self, goal: Callable[[], Mapping[int, int]], catch_up: Callable[[], None]) -> bool:
        """Put the second in the place of the live one, in one transaction.

        ``catch_up()`` brings the second up to the ``goal()``, while nobody can move the live one.
        False, and nothing changed, when a lock could not be had in time.
        """
        connection = self._connection
        limits = {
            "lock_timeout": f"{LOCK_SECONDS_MAX}s",
            # Of a lost topic nobody applies anything, and every payment is looked up once more.
            "statement_timeout": "0" if self._new_topic else f"{STATEMENT_SECONDS_MAX}s",
        }
        try:
            with mapped_errors(), connection.transaction():
                for name, limit in limits.items():
                    self._rows(queries["limit_transaction"], name=name, limit=limit)
                # Nobody migrates meanwhile: what is put in place must be of the same revision.
                self._rows(queries["lock_migrations"], key=MIGRATE_LOCK_KEY)
                self._lock(self.live)
                self._require_same_revision()
                catch_up()
                self._lock(self.second)
                _require_reached(goal(), self.offsets(self.second))
                if self._new_topic:
                    self._execute_of_both(queries["part_from_decisions"])
                self._execute_of_both(queries["empty_bodies"])
                self._carry_rights()
                for old, new in ((self.live, self.before), (self.second, self.live)):
                    rename = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
                    connection.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
        except LedgerError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        return True

    def _carry_rights(self) -> None:
        """Let who may use the live one use the second one too, whoever gave the right."""
        values = {"live": self.live, "second": self.second}
        for (statement,) in self._rows(queries["rights_to_carry"], **values):
            self._connection.execute(statement.encode())

    def _require_same_revision(self) -> None:
        ((live, second),) = self._of_both(queries["read_revisions"])
        if live != second:
            raise LedgerError(
                f"The live ledger is of schema revision {live}, the second one of {second}.",
                hint="Rebuild with --fresh, with the version that migrated last.",
            )

    def _of_both(self, query: LiteralString, **values: Any) -> list[TupleRow]:
        return self._execute_of_both(query, **values).fetchall()

    def _execute_of_both(self, query: LiteralString, **values: Any) -> psycopg.Cursor[TupleRow]:
        names = {"live": sql.Identifier(self.live), "second": sql.Identifier(self.second)}
        statement = sql.SQL(query).format(**names)
        with mapped_errors():
            return self._connection.execute(statement, {"topic": self._topic, **values})

    def _lock(self, schema: str) -> None:
        tables = sql.SQL(", ").join(sql.Identifier(schema, table) for table in TABLES)
        statement = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables)
        self._connection.execute(statement)


def _require_reached(goal: Mapping[int, int], second: Mapping[int, int]) -> None:
    if goal != second:
        raise LedgerError(f"The second ledger is at {second}, and should be at {goal}.")
