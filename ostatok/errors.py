"""Everything that can go wrong, as one tree. A docstring is the message when none is given.

OstatokError
├── SettingsError            the environment is wrong; names the variable and what it should be
├── InvalidFields            what a client sent is wrong; names each field and why
│   ├── InvalidPayment       the body is no payment
│   ├── InvalidParameters    what else a request says: the address, a header, a field
│   └── NotRedrivable        a dead letter, or what is to stand in its place, is no payment
├── AccessError
│   ├── NotAuthenticated     nobody we know asks, or does not prove it; 401
│   ├── NotAllowed           we know who asks, and he may not; 403
│   └── TooManyRequests      more often than somebody may; says when again; 429
├── DeadLetterError
│   ├── DeadLetterUnknown    there is none at that place
│   └── DeadLetterDecided    somebody decided about it; says who decided what
├── JournalError
│   ├── JournalUnavailable   Kafka did not answer or acknowledge in time; try again
│   │   └── JournalFull      more in hand than the limit: refused at once, nothing was sent
│   └── JournalMismatch      not the topic the ledger was built from; stream ends, http refuses
│       ├── PartitionsChanged    it has another number of partitions
│       ├── JournalCut           records are gone from it that were not applied
│       └── JournalShort         it ends before the ledger's offset
├── LedgerError
│   ├── LedgerUnavailable    Postgres is away; wait and try again
│   │   └── LedgerNotMigrated    schema or topic are not in it yet; `ostatok migrate`
│   ├── LedgerBehind         it has not applied yet what is asked for; try again
│   ├── LedgerGap            a batch begins beyond the ledger's offset; end, and read from there
│   ├── RecordRefused        the database refuses one record for itself; find it, bury it
│   └── LedgerCorrupt        an invariant is broken; stop
└── LocalError               an embedded service can't be had on this machine
"""

from collections.abc import Mapping
from math import ceil


class OstatokError(Exception):
    """Something went wrong in Ostatok."""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        doc = type(self).__doc__ or ""
        super().__init__(message or doc.split("\n", 1)[0])
        self.hint = hint


class SettingsError(OstatokError):
    """A setting is missing or wrong."""


class InvalidFields(OstatokError):
    """What was sent is wrong."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        """Keep ``reasons``: field name → what is wrong with it; "" stands for the whole."""
        self.reasons = dict(reasons)
        text = "; ".join(f"{field}: {why}" if field else why for field, why in reasons.items())
        super().__init__(text)


class InvalidPayment(InvalidFields):
    """The body is not a payment."""


class InvalidParameters(InvalidFields):
    """A parameter of the request is wrong."""


class NotRedrivable(InvalidFields):
    """The dead letter can't be a payment."""


class AccessError(OstatokError):
    """Who asks is not let in."""


class NotAuthenticated(AccessError):
    """Nobody who is known here asks."""

    def __init__(self, message: str | None = None, *, challenge: str | None = None) -> None:
        """Keep ``challenge``: how he could prove himself, as RFC 9110 (11.6.1) writes it."""
        super().__init__(message)
        self.challenge = challenge


class NotAllowed(AccessError):
    """Who asks may not do this."""


class TooManyRequests(AccessError):
    """Somebody asks more often than he may."""

    def __init__(self, message: str | None = None, *, after_seconds: float) -> None:
        """Keep when he may ask again."""
        super().__init__(message)
        self.after_seconds = after_seconds

    @property
    def retry_after(self) -> str:
        """The same as the header Retry-After has it: whole seconds, one at the least."""
        return str(max(1, ceil(self.after_seconds)))


class DeadLetterError(OstatokError):
    """What is asked about a dead letter is not possible."""


class DeadLetterUnknown(DeadLetterError):
    """There is no such dead letter."""


class DeadLetterDecided(DeadLetterError):
    """Somebody has decided about the dead letter."""


class JournalError(OstatokError):
    """The journal (the Kafka topic) refused."""


class JournalUnavailable(JournalError):
    """The journal did not acknowledge the record in time."""


class JournalFull(JournalUnavailable):
    """As many records wait for the journal as may wait."""


class JournalMismatch(JournalError):
    """The topic is not the one this ledger was built from."""


class PartitionsChanged(JournalMismatch):
    """The topic has another number of partitions than the ledger was built from."""


class JournalCut(JournalMismatch):
    """The topic begins behind the ledger's offset: what lay between was not applied."""


class JournalShort(JournalMismatch):
    """The topic ends before the ledger's offset: it lost its end."""


class LedgerError(OstatokError):
    """The ledger (the Postgres schema) refused."""


class LedgerUnavailable(LedgerError):
    """The database can't be reached."""


class LedgerNotMigrated(LedgerUnavailable):
    """The ledger's schema is not there."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, hint="Run `ostatok migrate`.")


class LedgerBehind(LedgerError):
    """The ledger has not applied yet what is asked for."""


class LedgerGap(LedgerError):
    """A batch begins beyond the ledger's offset: what lies between would be skipped."""


class RecordRefused(LedgerError):
    """The database refuses a record of the batch for itself."""


class OperationTaken(LedgerError):
    """Another session recorded an operation of the batch while the batch was applied."""


class LedgerCorrupt(LedgerError):
    """An invariant of the ledger does not hold."""


class LocalError(OstatokError):
    """An embedded service could not be started on this machine."""
