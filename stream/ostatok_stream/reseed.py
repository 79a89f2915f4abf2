"""``ostatok reseed``: writes into a new topic the payments of a ledger whose own topic is lost."""

import time
from collections.abc import Iterator

import msgspec

from ostatok import journal
from ostatok.backup import made_for_old_records
from ostatok.errors import OstatokError
from ostatok.journal import body_of, headers_of, key_of
from ostatok.pace import Pace, Say
from ostatok.record_reader import RecordReader
from ostatok.record_writer import Draft, RowWriter
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.reseed import Paid, Payments
from ostatok_stream.new_topic import check_new

RESEEDS_HEADER = "ostatok-reseeds"
"""Names the record that another was made in the place of, in the lost topic."""


class Reseeded(msgspec.Struct, frozen=True):
    """What a reseed did, or would do."""

    records: int
    """Records that can be payments which the topic held before; repeats are some too."""
    written: int
    repeats: int
    """What the old ledger has that is no payment, and is not in the topic unless it held it."""
    dead: int


def reseed(settings: Settings, say: Say, *, dry_run: bool) -> Reseeded:
    """Write the payments that the topic lacks; one that is not there is made.

    What it wrote stays when it ends early, and the next one does the rest. Raises JournalMismatch
    when the topic is the ledger's own, which lacks nothing that a reseed could give it.
    """
    payments = Payments.connect(settings)
    try:
        stored = payments.stored()
        if not stored:
            raise OstatokError(f"The ledger knows no topic {settings.topic}: it has no payments.")
        topic = Topic(settings)
        described = topic.describe()
        if described is not None:
            check_new(
                stored,
                topic=settings.topic,
                described=described,
                own_hint="A reseed fills another that takes its place. To see what is wrong with "
                "this one: `ostatok audit`.",
                partitions_hint="Delete it: a reseed makes one that is right.",
            )
        if not dry_run:
            topic, described = made_for_old_records(settings, len(stored))
        held = 0
        if described is not None:
            held = _hold(payments, settings, topic, described[1], say)
        missing = payments.missing()
        if missing and not dry_run:
            pace = Pace(missing, say, "payments")
            RowWriter(settings).write_all(_drafts(payments, pace))
        return Reseeded(held, missing, *payments.others())
    finally:
        payments.close()


def _hold(payments: Payments, settings: Settings, topic: Topic, partitions: int, say: Say) -> int:
    """Read what the topic holds."""
    held = topic.ranges(range(partitions))
    bounds = {one: (there.earliest, there.end) for one, there in held.items()}
    pace = Pace(sum(after - first for first, after in bounds.values()), say)
    many = 0
    for chunk in RecordReader(settings, "reseed").read(bounds):
        entries, _ = journal.read(chunk, partitions)
        payments.hold(entries)
        many += len(entries)
        pace.made(len(chunk))
    return many


def _drafts(payments: Payments, pace: Pace) -> Iterator[Draft]:
    for paid in payments.read_missing():
        yield _draft(paid)
        pace.made(1)


def _draft(paid: Paid) -> Draft:
    headers = [
        *headers_of(source=paid.source, received_at=paid.received_at, request_id=paid.request_id),
        (RESEEDS_HEADER, f"{paid.partition}:{paid.offset}".encode()),
    ]
    # Kafka refuses a record of the future; the header keeps what the ledger has.
    timestamp_ms = min(int(paid.received_at.timestamp() * 1000), int(time.time() * 1000))
    return Draft(
        key_of(paid.payment.inn), body_of(paid.payment), headers, timestamp_ms=timestamp_ms
    )
