"""Is the topic the one the ledger was built from? If not, nothing will ever apply its records.

A topic that was deleted and made anew takes records as well as any other, and so does another
cluster's topic of the same name. The stream's workers have stopped then: a 200 would be a lie.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from ostatok.errors import JournalMismatch, JournalUnavailable, LedgerError
from ostatok.settings import Settings
from ostatok.topic import check_held
from ostatok_db.ledger import check_topic
from ostatok_http.metrics import Metrics
from ostatok_http.ports import LedgerReader, TopicView
from ostatok_http.single_flight import SingleFlight
from ostatok_http.watermark import Watermark

LOOK_SECONDS = 5.0
"""The pause between two looks, the same as a stream worker's."""

START_SECONDS_MAX = 2.0
"""How long the start waits for the first finding, so that no webhook comes before it."""

NOW_SECONDS_MAX = 5.0
"""How long one who can't go on without a finding waits for it."""

log = structlog.get_logger()


class JournalCheck:
    """The last finding, and the task that looks again."""

    def __init__(
        self,
        settings: Settings,
        topic: TopicView,
        ledger: LedgerReader,
        watermark: Watermark,
        metrics: Metrics,
    ) -> None:
        self._name = settings.topic
        self._topic = topic
        self._offsets = SingleFlight(ledger.offsets, settings.database_timeout_seconds)
        self._watermark = watermark
        self._metrics = metrics
        self._mismatch: JournalMismatch | None = None
        self._matched: Mapping[int, tuple[int, str]] = {}
        self._has_looked = asyncio.Event()

    async def open(self) -> None:
        """Start looking. Waits for the first finding a while, and no longer: Kafka may be away."""
        self._looking = asyncio.create_task(self._look_around())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_looked.wait(), START_SECONDS_MAX)

    async def close(self) -> None:
        """Stop looking; what is being asked is given up."""
        self._looking.cancel()
        await asyncio.wait({self._looking})
        self._offsets.close()

    @property
    def matches(self) -> bool:
        """False when the last finding is that the topic is not the ledger's."""
        return self._mismatch is None

    def require_match(self) -> None:
        """Raise :class:`JournalMismatch` when the topic is not the ledger's."""
        if self._mismatch is not None:
            raise _anew(self._mismatch)

    async def look_now(self) -> None:
        """Look at once, for what is worth the wait.

        Raises :class:`JournalMismatch`, and JournalUnavailable or LedgerUnavailable when nobody can
        say.
        """
        try:
            async with asyncio.timeout(NOW_SECONDS_MAX):
                await self._look()
        except JournalMismatch as error:
            self._found(error)
            raise
        except TimeoutError:
            raise JournalUnavailable("Kafka did not answer in time.") from None

    async def _look_around(self) -> None:
        while True:
            try:
                await self._look()
            except JournalMismatch as error:
                self._found(error)
            except (JournalUnavailable, LedgerError) as error:
                # The last finding stays, whichever it was: who is away says nothing of the topic.
                log.warning("journal_unchecked", reason=str(error))
            except Exception:  # A bug must not end the looking without a word.
                log.exception("journal_look_failed")
            self._has_looked.set()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        described = await self._topic.describe_async()
        try:
            stored = await self._offsets.answer()
        except LedgerError:
            if self._matched:
                # A topic made anew is one without the ledger too.
                check_topic(self._matched, topic=self._name, described=described)
            raise
        if not stored:
            return  # Before `ostatok migrate` there is nothing to compare; /readyz says so.
        check_topic(stored, topic=self._name, described=described)
        self._matched = stored
        # Before the ends, which only grow: what was acknowledged in this topic lies below them.
        acknowledged = {partition: self._watermark.of(partition) for partition in stored}
        held = await self._topic.ranges_async(stored)
        check_held(self._name, held, {one: offset for one, (offset, _) in stored.items()})
        if any(offset > held[partition].end for partition, offset in acknowledged.items()):
            # That was a lost topic, in whose place this one is: nobody will apply it here.
            self._watermark.forget()
        self._found(None)

    def _found(self, error: JournalMismatch | None) -> None:
        """Keep the finding, and log it when it is another than before."""
        if str(error) == str(self._mismatch):
            return
        self._mismatch = None if error is None else _anew(error)
        self._metrics.journal_matches.set(self.matches)
        if error is None:
            log.info("journal_matches")
        else:
            log.error("journal_mismatch", reason=str(error), hint=error.hint)


def _anew(error: JournalMismatch) -> JournalMismatch:
    """Give the same error without a traceback: one that is kept and raised anew piles it up."""
    return type(error)(str(error), hint=error.hint)
