"""What becomes of a fetch: all of it is applied, a long one's partitions side by side."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from ostatok import logs
from ostatok.backoff import backoff
from ostatok.errors import JournalUnavailable, LedgerUnavailable
from ostatok.payment import masked
from ostatok_db.batch import Applied, Batch, Outcome, Slice, pieces_of, shares_of, slices_of
from ostatok_stream import metrics
from ostatok_stream.brake import LONG_RECORDS
from ostatok_stream.positions import Positions, Session
from ostatok_stream.sparing import Sparing
from ostatok_stream.traces import TracedFetch, Traces
from ostatok_stream.transport import Fetch
from ostatok_stream.watchdog import Progress

log = structlog.get_logger()


class Applier:
    """Applies fetches one after the other, and of each the partitions side by side."""

    def __init__(  # noqa: PLR0913  # one for each thing it works with
        self,
        positions: Positions,
        sessions: Sequence[Session],
        progress: Progress,
        *,
        batch_records_max: int,
        log_operations: bool,
        traces: Traces | None = None,
    ) -> None:
        self._positions = positions
        self._sessions = sessions
        self._batch_records_max = batch_records_max
        self._progress = progress
        self._log_operations = log_operations
        self._traces = traces
        # The money is committed by then, or will be without them: neither must stop the stream.
        self._counting = Sparing("metrics of a batch")
        self._tracing = Sparing("traces of a fetch")

    async def apply(self, fetch: Fetch) -> None:
        """Give every record of the fetch its outcome, waiting for Postgres as long as it takes.

        Each session takes partitions of its own, so none waits for another, but where an operation
        came with two INNs. Raises what waiting can't mend: JournalMismatch, LedgerGap,
        LedgerCorrupt.
        """
        await self._check_gaps(fetch)
        slices = slices_of(fetch.entries, fetch.dead, fetch.bounds)
        # Another commit would cost a short fetch more than it saves.
        many = len(self._sessions) if len(fetch.records) >= LONG_RECORDS else 1
        shares = enumerate(shares_of(slices, many))
        traced = None
        if self._traces is not None:
            with self._tracing:
                traced = self._traces.of(fetch)
        await asyncio.gather(
            *(self._apply_share(number, share, traced) for number, share in shares)
        )
        if traced is not None:
            with self._tracing:
                traced.end()

    async def _apply_share(
        self, number: int, slices: Sequence[Slice], traced: TracedFetch | None
    ) -> None:
        whole = Batch(self._positions.topic, self._positions.topic_id, slices)
        for batch in pieces_of(whole, self._batch_records_max):
            started = time.perf_counter()
            applied = await self._apply_until_done(number, batch)
            self._progress.made()
            seconds = time.perf_counter() - started
            with self._counting:
                metrics.batch(batch, seconds, applied)
            if traced is not None:
                with self._tracing:
                    traced.applied(batch, applied, seconds)
            self._log(batch, applied, seconds)

    async def _check_gaps(self, fetch: Fetch) -> None:
        expected = {partition: before for partition, (before, _) in fetch.bounds.items()}
        for record in fetch.records:
            before = expected.pop(record.partition, record.offset)
            if before == record.offset:
                continue
            for seconds in backoff():
                try:
                    await self._positions.check_gap(record.partition, before, record)
                    break
                except JournalUnavailable as error:
                    log.warning("gap_unchecked", partition=record.partition, reason=str(error))
                    self._progress.made()
                await asyncio.sleep(seconds)

    async def _apply_until_done(self, number: int, batch: Batch) -> Applied:
        for tries, seconds in enumerate(backoff()):
            # Not always the same session: Postgres may have a connection for one and not for all.
            session = self._sessions[(number + tries) % len(self._sessions)]
            try:
                async with session.ledger() as ledger:
                    return await ledger.apply(batch)
            except LedgerUnavailable as error:
                # Whether a commit went through whose answer was lost, the offsets will say.
                log.warning("ledger_unavailable", reason=str(error), retry_seconds=seconds)
                metrics.retries.inc()
                self._progress.made()
            await asyncio.sleep(seconds)
        raise AssertionError("backoff is endless")

    def _log(self, batch: Batch, applied: Applied, seconds: float) -> None:
        log.info(
            "batch_applied",
            **{str(outcome): count for outcome, count in applied.counts.items() if count},
            offsets={one.partition: [one.first_offset, one.next_offset] for one in batch.slices},
            seconds=round(seconds, 4),
        )
        if self._log_operations:
            logs.write_many("operation_applied", self._applied_fields(batch, applied))
        for repeat in applied.repeats:
            if repeat.outcome is Outcome.CONFLICT or self._log_operations:
                write = log.warning if repeat.outcome is Outcome.CONFLICT else log.info
                write(
                    f"operation_{repeat.outcome}",
                    operation_id=repeat.operation_id,
                    inn=masked(repeat.inn),
                    partition=repeat.partition,
                    offset=repeat.offset,
                    request_id=repeat.request_id,
                    differing=sorted(repeat.differences or ()),
                    source=repeat.source,
                    **(
                        {"winner_source": repeat.winner_source} if repeat.is_between_sources else {}
                    ),
                )
        for one in batch.slices:
            for letter in one.dead:
                position = (letter.record.partition, letter.record.offset)
                if applied.others.get(position) is Outcome.DEAD:
                    log.warning(
                        "record_dead",
                        partition=letter.record.partition,
                        offset=letter.record.offset,
                        reason=letter.reason,
                        request_id=letter.request_id,
                    )

    def _applied_fields(self, batch: Batch, applied: Applied) -> list[dict[str, Any]]:
        return [
            {
                "operation_id": entry.payment.operation_id,
                "inn": masked(entry.payment.inn),
                "partition": entry.partition,
                "offset": entry.offset,
                "request_id": entry.request_id,
            }
            for one in batch.slices
            for entry in one.entries
            if applied.outcome_of(entry.partition, entry.offset) is Outcome.APPLIED
        ]
