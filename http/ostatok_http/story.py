"""The story of an operation: every record of it, what became of each, and what it changed."""

from collections.abc import Sequence
from typing import NamedTuple

from ostatok.errors import JournalError, LedgerBehind
from ostatok.journal import Entry
from ostatok_db.batch import Outcome
from ostatok_db.history import History, LogEntry, OperationRecord
from ostatok_http.unapplied import Unapplied

ACCEPTED, UNCLEAR, UNKNOWN = "accepted", "unclear", "unknown"


class Story(NamedTuple):
    """All that is known of an operation."""

    operation_id: str
    records: Sequence[OperationRecord]
    """With their outcome, the applied one first."""
    accepted: Sequence[Entry] = ()
    """In the journal, and without an outcome yet; none once one is applied."""
    entry: LogEntry | None = None
    """The change of the balance that it made."""
    tail_error: LedgerBehind | JournalError | None = None
    """Why nobody could say what the journal has that is not applied yet."""

    @property
    def status(self) -> str:
        """What became of it, in a word; ``unknown`` when the journal has nothing of it."""
        if _is_applied(self.records):
            return str(Outcome.APPLIED)
        if self.accepted:
            return ACCEPTED
        if self.tail_error is not None:
            return UNCLEAR
        return str(self.records[0].outcome) if self.records else UNKNOWN


class Stories:
    """Looks operations up: in the ledger, and one that is not there in what is not applied yet."""

    def __init__(self, history: History, unapplied: Unapplied) -> None:
        self._history = history
        self._unapplied = unapplied

    async def of(self, operation_id: str) -> Story:
        """Give an operation's. Raises :class:`LedgerUnavailable`.

        Why the journal could not be asked is in the story.
        """
        records = await self._history.records_of(operation_id)
        accepted: Sequence[Entry] = ()
        tail_error: LedgerBehind | JournalError | None = None
        if not _is_applied(records):
            # A dead one may have been redriven, or the next record of it is no rubbish.
            try:
                accepted = await self._unapplied.of(operation_id)
            except (LedgerBehind, JournalError) as error:
                tail_error = error
            # What was not applied when the ledger was asked, and was when the journal was.
            records = await self._history.records_of(operation_id)
        if not _is_applied(records):
            return Story(operation_id, records, accepted, tail_error=tail_error)
        entry = await self._history.entry_of(records[0], operation_id)
        return Story(operation_id, records, entry=entry)

    async def of_unknown(self, operation_id: str) -> Story:
        """Give the story of an operation that nobody knows of, for who may not know of it.

        After the same questions, so that it is told as late, and as it would be told then.
        """
        try:
            await self._unapplied.of(operation_id)
        except (LedgerBehind, JournalError) as error:
            return Story(operation_id, (), tail_error=error)
        return Story(operation_id, ())


def _is_applied(records: Sequence[OperationRecord]) -> bool:
    return bool(records) and records[0].outcome is Outcome.APPLIED
