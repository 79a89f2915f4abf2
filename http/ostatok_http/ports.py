"""What the HTTP service needs of the world: a journal to publish to and a ledger to read from.

The real ones are :class:`ostatok_http.publisher.Publisher`, :class:`ostatok.topic.Topic`,
:class:`ostatok.record_reader.RecordReader` and :class:`ostatok_db.reading.Reader`.
"""

from collections.abc import Awaitable, Generator, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from ostatok.journal import Record
from ostatok.topic import Range
from ostatok_db.pool import PoolUse
from ostatok_db.reading import Standing, Undecided

RecordHeaders = list[tuple[str, bytes]]


class Position(NamedTuple):
    """Where a record lies in the journal: the receipt of a webhook."""

    partition: int
    offset: int


class Queue(NamedTuple):
    """How full a queue is."""

    records: int
    records_max: int


class Journal(Protocol):
    """The topic, as the receiver writes to it."""

    async def open(self) -> None:
        """Start connecting; does not wait for a broker to be there."""

    async def close(self, seconds: float) -> None:
        """Send what is in hand, for at most ``seconds``, and let go."""

    def publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> Awaitable[Position]:
        """Give what returns once the journal has the record.

        Raises :class:`ostatok.errors.JournalUnavailable` when that did not happen in time; then
        nobody knows whether the record is in the journal, and the sender has to repeat it.
        """
        ...

    async def missing(self) -> Literal["broker", "topic"] | None:
        """What is not there of all that a record needs."""

    def queue(self) -> Queue:
        """How full the queue before Kafka is."""
        ...


class TopicView(Protocol):
    """The topic, as the broker shows it. Every method raises ``JournalUnavailable``.

    Each can be given up at any time.
    """

    async def describe_async(self) -> tuple[str, int] | None:
        """Give the topic's id and its number of partitions; None when there is no such topic."""
        ...

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Give what each of the partitions holds now."""
        ...


class RecordSource(Protocol):
    """The topic's records."""

    def read(self, bounds: Mapping[int, tuple[int, int]]) -> Generator[list[Record]]:
        """Give what lies in [first, end) of each partition, in chunks; blocks.

        Raises :class:`ostatok.errors.JournalUnavailable`.
        """
        ...

    def firsts(self, bounds: Mapping[int, tuple[int, int]]) -> dict[int, Record]:
        """Give the first record of each partition's [first, end) that has one; blocks.

        Raises what :meth:`read` does.
        """
        ...


class LedgerReader(Protocol):
    """What the service reads of the ledger. All but ``pool_use`` raise ``LedgerUnavailable``."""

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""

    async def close(self) -> None:
        """Let go of all connections."""

    async def partitions(self) -> int:
        """How many partitions the journal has."""
        ...

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Of each (INN, its partition) the standing, in the order asked, in one snapshot."""
        ...

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Where the ledger stands: partition → (next offset, id of the topic)."""
        ...

    async def check(self) -> None:
        """Return when database and schema are there."""

    async def undecided_dead_letters(self) -> Undecided:
        """How many dead letters nobody has decided about, and how long the oldest waits."""
        ...

    def pool_use(self) -> PoolUse:
        """How much of the connections is in use. Asks nobody."""
        ...
