"""Whether an INN's log is whole: numbered, adding up, chained, and what its row repeats."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from ostatok_db.auditing import LoggedEntry, Organization
from ostatok_stream.comparing import Finding, Kind


class LogCheck:
    """Follows the log of one INN from its first entry to the one that its row repeats."""

    def __init__(self, organization: Organization) -> None:
        self._organization = organization
        self._number = 0
        self._balance = Decimal(0)
        self._link = b""
        self._created_at: datetime | None = None

    def follow(self, entries: Sequence[LoggedEntry]) -> Iterator[Finding]:
        """Go on with the entries behind those so far, and give what is wrong about them.

        What is wrong with one is said once: the next is held against what is there, not against
        what should have been.
        """
        for entry in entries:
            yield from self._missing_up_to(entry.entry)
            where = f"{entry.inn} entry {entry.entry}"
            for kind, what in self._wrong_with(entry):
                yield Finding(kind, where, f"operation {entry.operation_id}: {what}")
            self._number = entry.entry
            self._balance = entry.new_balance
            self._link = entry.link
            self._created_at = entry.created_at

    def end(self) -> Iterator[Finding]:
        """Hold the INN's row against the last entry."""
        organization = self._organization
        yield from self._missing_up_to(organization.entries + 1)
        if organization.balance != self._balance:
            said = f"is {organization.balance}, the log ends at {self._balance}"
            yield Finding(Kind.BALANCE, organization.inn, f"the balance {said}")
        if organization.head != self._link:
            yield Finding(Kind.CHAIN, organization.inn, "the head is not the last entry's link")
        if organization.changed_at != self._created_at:
            what = f"changed at {organization.changed_at}, the last entry is of {self._created_at}"
            yield Finding(Kind.LOG, organization.inn, what)

    def _missing_up_to(self, number: int) -> Iterator[Finding]:
        first, last = self._number + 1, number - 1
        if first <= last:
            which = f"{first}" if first == last else f"{first} to {last}"
            what = "is missing" if first == last else "are missing"
            yield Finding(Kind.LOG, f"{self._organization.inn} entry {which}", what)

    def _wrong_with(self, entry: LoggedEntry) -> Iterator[tuple[Kind, str]]:
        if entry.payer is None or entry.received_at is None:
            yield Kind.LOG, "there is no such payment"
            return
        if (entry.payer, entry.payment_amount) != (entry.inn, entry.amount):
            yield (
                Kind.LOG,
                f"its payment is of {entry.payer} and {entry.payment_amount}, not {entry.amount}",
            )
        if entry.previous_balance != self._balance:
            what = f"begins at {entry.previous_balance}, the entry before ends at {self._balance}"
            yield Kind.BALANCE, what
        if entry.new_balance != entry.previous_balance + entry.amount:
            yield Kind.BALANCE, "does not add up"
        if entry.created_at != max(entry.received_at, self._created_at or entry.received_at):
            yield Kind.LOG, f"is of {entry.created_at}, which its record does not make"
        if entry.link != entry.link_after(self._link):
            yield Kind.CHAIN, "the link is not what the entry and the link before it make"
