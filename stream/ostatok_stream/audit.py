"""``ostatok audit``: topic and database prove each other, also while both are in use.

What lies behind the offsets that the ledger had at the beginning never changes, so it can be
compared at leisure; only what is counted is counted at one moment.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ostatok.pace import Pace, Say
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Range, Topic
from ostatok_db.auditing import (
    ENTRIES_AT_ONCE,
    AuditReader,
    LoggedEntry,
    Organization,
    Totals,
)
from ostatok_db.ledger import check_topic
from ostatok_stream.comparing import Finding, Found, Kind, compare, ranges_of
from ostatok_stream.log_check import LogCheck


class Report(Found):
    """What an audit has found."""

    topic: str
    topic_id: str
    offsets: dict[int, int]
    """Partition → what the ledger was applied up to: the audit is about what lies before."""
    cut: dict[int, int] = msgspec.field(default_factory=dict)
    """Partition → the first offset that is left, where the topic has not kept all."""
    records: int = 0
    organizations: int = 0
    entries: int = 0


def audit(settings: Settings, say: Say) -> Report:
    """Compare everything, saying how far it is.

    Raises :class:`JournalMismatch` when the topic is not the ledger's, and LedgerUnavailable or
    JournalUnavailable for who is away.
    """
    ledger = AuditReader.connect(settings)
    try:
        return _audit(settings, ledger, say)
    finally:
        ledger.close()


def _audit(settings: Settings, ledger: AuditReader, say: Say) -> Report:
    topic = Topic(settings)
    stored = ledger.stored()
    topic_id, partitions = check_topic(stored, topic=settings.topic, described=topic.describe())
    offsets = {partition: offset for partition, (offset, _) in stored.items()}
    report = Report(settings.topic, topic_id, offsets)
    bounds = _bounds(report, topic.ranges(stored))
    pace = Pace(sum(after - first for first, after in bounds.values()), say)
    positions = {partition: first for partition, (first, _) in bounds.items()}
    for chunk in RecordReader(settings, "audit").read(bounds):
        found = compare(ledger, chunk, dict(ranges_of(chunk, positions)), partitions)
        report.add(found.findings)
        report.records += len(chunk)
        pace.made(len(chunk))
    # Behind a partition's last record there can only be outcomes that have none.
    rest = {one: (positions[one], after) for one, (_, after) in bounds.items()}
    report.add(compare(ledger, (), rest, partitions).findings)
    for organizations in ledger.organizations():
        report.add(_of_logs(ledger, organizations))
        report.organizations += len(organizations)
        report.entries += sum(one.entries for one in organizations)
        say(f"{report.organizations:,} balances, {report.entries:,} log entries")
    report.add(_of_counts(ledger, ledger.totals()))
    return report


def _bounds(report: Report, held: Mapping[int, Range]) -> dict[int, tuple[int, int]]:
    """What of the ledger's past the topic still holds; what it lacks is in the report."""
    bounds: dict[int, tuple[int, int]] = {}
    for partition, offset in report.offsets.items():
        first, end = held[partition].earliest, held[partition].end
        if first > 0:
            report.cut[partition] = first
        if first > offset:
            what = f"records {offset} to {first} were cut before they were applied"
            report.add([Finding(Kind.TOPIC, f"partition {partition}", what)])
        if end < offset:
            what = f"the ledger is applied up to {offset}, the topic ends at {end}"
            report.add([Finding(Kind.TOPIC, f"partition {partition}", what)])
        bounds[partition] = (min(first, offset), min(end, offset))
    return bounds


def _of_logs(ledger: AuditReader, organizations: Iterable[Organization]) -> Iterator[Finding]:
    """Follow logs, of many short ones together and of a long one a piece at a time."""
    some: list[Organization] = []
    together = 0
    for one in organizations:
        if one.entries > ENTRIES_AT_ONCE:
            check = LogCheck(one)
            for first in range(1, one.entries + 1, ENTRIES_AT_ONCE):
                last = min(one.entries, first + ENTRIES_AT_ONCE - 1)
                yield from check.follow(ledger.entries({one.inn: (first, last)}))
            yield from check.end()
            continue
        if together + one.entries > ENTRIES_AT_ONCE:
            yield from _of_short_logs(ledger, some)
            some, together = [], 0
        some.append(one)
        together += one.entries
    yield from _of_short_logs(ledger, some)


def _of_short_logs(ledger: AuditReader, some: list[Organization]) -> Iterator[Finding]:
    entries = ledger.entries({one.inn: (1, one.entries) for one in some})
    of_inn: dict[str, list[LoggedEntry]] = {}
    for entry in entries:
        of_inn.setdefault(entry.inn, []).append(entry)
    for one in some:
        check = LogCheck(one)
        yield from check.follow(of_inn.get(one.inn, []))
        yield from check.end()


def _of_counts(ledger: AuditReader, totals: Totals) -> Iterator[Finding]:
    """What no record and no organization leads to."""
    for other in ledger.other_topics():
        yield Finding(Kind.TOPIC, other, "the ledger has outcomes of this topic too")
    for partition, offset in ledger.outcomes_beyond():
        what = "has an outcome, and the ledger has not come to it"
        yield Finding(Kind.NO_RECORD, f"{partition}:{offset}", what)
    counted = (totals.payments, totals.log_entries, totals.entries_of_organizations)
    if len(set(counted)) == 1:
        return
    what = "{} payments, {} log entries, and {} by what the organizations say".format(*counted)
    yield Finding(Kind.LOG, "ledger", what)
    for operation_id, inn, partition, offset in ledger.payments_without_entry():
        what = f"operation {operation_id} of {inn} is a payment without a log entry"
        yield Finding(Kind.LOG, f"{partition}:{offset}", what)
    for inn, entry, operation_id in ledger.entries_beyond():
        what = f"operation {operation_id}: the INN's row does not know of it"
        yield Finding(Kind.LOG, f"{inn} entry {entry}", what)
