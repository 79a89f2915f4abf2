"""The spans of a worker: of what a fetch brought, its transactions, and its sampled records."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.collector import SENT, UNSAMPLED, Collector, context_of, running_collector
from support.payments import TOPIC, TOPIC_ID, dead_letter, entry, payment

from ostatok import telemetry
from ostatok.journal import DeadLetter, Entry
from ostatok.payment import Payment
from ostatok.settings import Settings, load
from ostatok_db.connection import conninfo
from ostatok_stream.agent import Applier
from ostatok_stream.positions import Session
from ostatok_stream.traces import TRACED_RECORDS_MAX, Traces
from ostatok_stream.transport import Fetch
from ostatok_stream.watchdog import Progress

POSITIONS: Any = SimpleNamespace(topic=TOPIC, topic_id=TOPIC_ID)

NAME = f"process {TOPIC}"

Apply = Callable[..., Awaitable[None]]


def paid(offset: int, traceparent: str | None, what: Payment | None = None) -> Entry:
    """A payment whose record has that header among others."""
    one = entry(what or payment(), offset)
    value = None if traceparent is None else traceparent.encode()
    headers = [("source", b"bank"), ("traceparent", value), ("more", None)]
    return msgspec.structs.replace(one, record=msgspec.structs.replace(one.record, headers=headers))


def sampled(number: int) -> str:
    """A context of its own, to be recorded."""
    return f"00-{number + 1:032x}-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where the spans go, at once."""
    monkeypatch.setattr(telemetry, "SEND_SECONDS", 0.02)
    with running_collector() as running:
        yield running


@pytest.fixture
async def apply(database: Settings, collector: Collector) -> AsyncIterator[Apply]:
    """Apply entries and dead letters as a fetch, and let the last spans go out."""
    session = Session(conninfo(database, name="test", writes=True))
    traces = Traces.make(load(traces_endpoint=collector.url, topic=TOPIC))
    assert traces is not None
    traces.start()
    applier = Applier(
        POSITIONS,
        [session],
        Progress(),
        batch_records_max=100,
        log_operations=False,
        traces=traces,
    )

    async def apply(entries: Sequence[Entry], dead: Sequence[DeadLetter] = ()) -> None:
        records = [one.record for one in entries] + [one.record for one in dead]
        records.sort(key=lambda one: one.offset)
        (partition,) = {one.partition for one in records}
        bounds = {partition: (records[0].offset, records[-1].offset + 1)}
        await applier.apply(Fetch(records, entries, dead, bounds))

    yield apply
    await traces.close()
    await session.close()


async def test_a_flood_of_sampled_records_is_cut(apply: Apply, collector: Collector) -> None:
    """So many of a fetch have spans and links, and the rest is a number."""
    many = TRACED_RECORDS_MAX + 22
    await apply([paid(offset, sampled(offset)) for offset in range(many)])
    (process,) = collector.wait("process")
    assert process.attributes["messaging.batch.message_count"] == many
    assert process.attributes["ostatok.records_traced"] == TRACED_RECORDS_MAX
    assert process.attributes["ostatok.records_left_out"] == 22
    transactions = collector.wait("apply transaction", many=2)
    assert {one.parent for one in transactions} == {process.id}
    assert sum(one.attributes["ostatok.applied"] for one in transactions) == many
    applied = [one for one in collector.spans if one.name == f"apply {TOPIC}"]
    wanted = [context_of(sampled(offset)) for offset in range(TRACED_RECORDS_MAX)]
    assert sorted((one.trace, one.parent) for one in applied) == wanted
    assert sorted(process.links) == wanted
    of_transactions = {one.context for one in transactions}
    assert {link for one in applied for link in one.links} == of_transactions


async def test_each_record_says_what_became_of_it(apply: Apply, collector: Collector) -> None:
    """Whatever that is: applied, a duplicate, a conflict, dead, and seen when it is read again."""
    first = payment()
    other = msgspec.structs.replace(first, document_number="PAY-329")
    letter = dead_letter(entry(first, 0).partition, 3)
    headers = [("traceparent", sampled(3).encode())]
    letter = msgspec.structs.replace(
        letter, record=msgspec.structs.replace(letter.record, headers=headers)
    )
    entries = [paid(n, sampled(n), what) for n, what in enumerate((first, first, other))]
    await apply(entries, [letter])
    await apply(entries, [letter])
    collector.wait("process", many=2)
    outcomes = ["applied", "duplicate", "conflict", "dead"]
    for number, outcome in enumerate(outcomes):
        found = collector.of(sampled(number))
        assert [one.attributes["ostatok.outcome"] for one in found] == [outcome, "seen"]
        (offset,) = {one.attributes["messaging.kafka.offset"] for one in found}
        assert offset == number
        ids = {one.attributes.get("ostatok.operation_id") for one in found}
        assert ids == {None if outcome == "dead" else first.operation_id}


async def test_a_fetch_that_nobody_wants_traced_has_no_spans(
    apply: Apply, collector: Collector
) -> None:
    """Not for a context that says no, nor for a header that anybody wrote there."""
    contexts = (None, UNSAMPLED, "nonsense", SENT.upper(), SENT + "-more", "00-" + "0" * 32)
    await apply([paid(offset, context) for offset, context in enumerate(contexts)])
    await apply([entry(payment(), len(contexts)), paid(len(contexts) + 1, SENT)])
    (process,) = collector.wait("process")
    assert process.links == (context_of(SENT),)
    assert process.attributes["messaging.batch.message_count"] == 2
    assert len(collector.spans) == 3


async def test_no_more_records_in_a_second_than_the_setting_says(
    apply: Apply, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the fetches are: what has room has a span, and a fetch without any has none."""
    now = 100.0
    monkeypatch.setattr("ostatok.tracing.monotonic", lambda: now)
    offsets = itertools.count()
    for _ in range(2):
        await apply([paid(next(offsets), sampled(0)) for _ in range(TRACED_RECORDS_MAX)])
    await apply([paid(next(offsets), sampled(0))])
    now = 101.0
    await apply([paid(next(offsets), sampled(1))])
    collector.wait("process", many=3)
    traced = [
        one.attributes["ostatok.records_traced"] for one in collector.spans if one.name == NAME
    ]
    assert traced == [TRACED_RECORDS_MAX, 200 - TRACED_RECORDS_MAX, 1]
