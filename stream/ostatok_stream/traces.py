"""The spans of a worker, by OpenTelemetry's conventions for messaging.

Records are applied by thousands at once, so there is one span for what a fetch brought, linked to
the traces of its records, and one below it for each transaction. Of a record whose own trace is
recorded there is a span there too, a child of its publishing: the end of its way from the request
to the ledger. A fetch without such a record has no spans at all.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Self

from ostatok.journal import DeadLetter, Entry
from ostatok.payment import masked
from ostatok.settings import Settings
from ostatok.tracing import LINKS_MAX, TRACEPARENT, Tracing, is_sampled, tracing_of
from ostatok_db.batch import Applied, Batch
from ostatok_stream.transport import Fetch

if TYPE_CHECKING:
    from ostatok.telemetry import Span

TRACED_RECORDS_MAX = LINKS_MAX
"""Records of a fetch that are traced; and of a second no more than the setting says. A span takes
several times as long as the payment it is about."""

FLUSH_SECONDS_MAX = 2.0
"""How long the last spans may take at a stop, of the 8 s that a worker has."""


class TracedFetch:
    """The spans of one fetch."""

    def __init__(
        self,
        tracing: Tracing,
        span: "Span",
        sampled: list[tuple[Entry | DeadLetter, str]],
        common: Mapping[str, str],
    ) -> None:
        """Trace these records, each with its context; ``common`` is what all spans say."""
        self._tracing = tracing
        self._span = span
        self._sampled = sampled
        self._common = common

    def applied(self, batch: Batch, applied: Applied, seconds: float) -> None:
        """Tell of a transaction that is committed, begun so many seconds ago, and its records."""
        start_ns = time.time_ns() - int(seconds * 1e9)
        transaction = self._tracing.begin(
            "apply transaction",
            "client",
            {
                "db.system.name": "postgresql",
                "ostatok.records": batch.records,
                "ostatok.partitions": [one.partition for one in batch.slices],
                **{f"ostatok.{outcome}": many for outcome, many in applied.counts.items() if many},
            },
            parent=self._span,
            start_ns=start_ns,
        )
        link = (transaction.traceparent,)
        bounds = {one.partition: (one.first_offset, one.next_offset) for one in batch.slices}
        for one, traceparent in self._sampled:
            partition, offset = one.record.partition, one.record.offset
            first, after = bounds.get(partition, (0, 0))
            if first <= offset < after:
                self._tracing.begin(
                    f"apply {batch.topic}",
                    "consumer",
                    {
                        **self._common,
                        "messaging.operation.name": "apply",
                        "messaging.destination.partition.id": str(partition),
                        "messaging.kafka.offset": offset,
                        "ostatok.outcome": str(applied.outcome_of(partition, offset)),
                        **_of_payment(one),
                    },
                    parent=traceparent,
                    links=link,
                    start_ns=start_ns,
                ).end()
        transaction.end()

    def end(self) -> None:
        """All of it is applied."""
        self._span.end()


class Traces:
    """Begins the spans of this worker, and sends them."""

    def __init__(self, settings: Settings, tracing: Tracing) -> None:
        self._tracing = tracing
        self._topic = settings.topic
        self._common = {
            "messaging.system": "kafka",
            "messaging.destination.name": settings.topic,
            "messaging.consumer.group.name": settings.stream_group,
            "messaging.operation.type": "process",
        }

    @classmethod
    def make(cls, settings: Settings) -> Self | None:
        """Give them; None when nobody wants traces."""
        tracing = tracing_of(settings, "ostatok-stream")
        return None if tracing is None else cls(settings, tracing)

    def start(self) -> None:
        """Be ready. Raises :class:`ostatok.errors.OstatokError` when the extra is not there."""
        self._tracing.start()

    async def close(self) -> None:
        """Send what is in hand, or drop it when that takes too long."""
        await asyncio.to_thread(self._tracing.close, FLUSH_SECONDS_MAX)

    def of(self, fetch: Fetch) -> TracedFetch | None:
        """Begin the span of a fetch; None when no record of it is traced."""
        if not self._tracing.is_on:
            return None
        everything: Iterable[Entry | DeadLetter] = chain(fetch.entries, fetch.dead)
        sampled = [
            (one, value.decode())
            for one in everything
            for name, value in one.record.headers or ()
            if name == TRACEPARENT and value is not None and is_sampled(value)
        ]
        traced = sampled[: self._tracing.take(min(len(sampled), TRACED_RECORDS_MAX))]
        if not traced:
            return None
        span = self._tracing.begin(
            f"process {self._topic}",
            "consumer",
            {
                **self._common,
                "messaging.operation.name": "process",
                "messaging.batch.message_count": len(fetch.records),
                "ostatok.records_traced": len(traced),
                "ostatok.records_left_out": len(sampled) - len(traced),
            },
            parent=None,
            links=[traceparent for _, traceparent in traced],
        )
        return TracedFetch(self._tracing, span, traced, self._common)


def _of_payment(one: Entry | DeadLetter) -> dict[str, str]:
    if isinstance(one, DeadLetter):
        return {}
    return {
        "ostatok.operation_id": one.payment.operation_id,
        "ostatok.inn": masked(one.payment.inn),
    }
