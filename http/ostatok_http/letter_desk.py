"""What operators decide about dead letters without a shell there: by the API, by the console."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import structlog

from ostatok.errors import JournalUnavailable, OstatokError
from ostatok.settings import Settings
from ostatok_db.dead_letters import DeadLetters, Letter
from ostatok_db.redrive import Redrive
from ostatok_http.desk import Desk
from ostatok_http.doors.trail import Trail
from ostatok_http.journal_check import JournalCheck
from ostatok_http.ports import Journal, Position, RecordHeaders
from ostatok_http.watermark import Watermark

BY_CHARACTERS_MAX = 100
BECAUSE_CHARACTERS_MAX = 1_000

REDRIVE, CORRECT, DISCARD = "redrive", "correct", "discard"
"""What can be decided, in the words of the trail; to correct is to redrive with another body."""

AT_ONCE_MAX = 2
"""Connections to Postgres, and threads, for all this at the most."""

IN_HAND_MAX = 20
"""Requests of this kind in hand at the most; past it 503."""

CONNECT_SECONDS_MAX = 10.0
GRACE_SECONDS = 1.0

T = TypeVar("T")

log = structlog.get_logger()


class Wish(NamedTuple):
    """What every decision is told."""

    position: Position
    by: str
    again: bool
    """Decide anew, whoever has decided about it."""
    dry_run: bool
    """Say what would be done, and do nothing."""
    request_id: str
    client: str
    """The address that asks."""


class Published(NamedTuple):
    """What was published in a dead letter's place, or would be."""

    operation_id: str
    new_position: Position | None
    """None for a dry run."""


class LetterDesk:
    """Reads dead letters and decides about them, on connections of its own."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        journal_check: JournalCheck,
        watermark: Watermark,
        trail: Trail,
    ) -> None:
        self._connect = partial(
            DeadLetters.connect,
            settings,
            statement_seconds_max=settings.database_timeout_seconds,
            pgbouncer=settings.database_pgbouncer,
        )
        self._publish_seconds = settings.publish_timeout_seconds + GRACE_SECONDS
        self._journal = journal
        self._journal_check = journal_check
        self._watermark = watermark
        self._trail = trail
        self._desk = Desk(
            AT_ONCE_MAX,
            IN_HAND_MAX,
            CONNECT_SECONDS_MAX + 2 * settings.database_timeout_seconds + self._publish_seconds,
        )

    async def do(self, work: Callable[[DeadLetters], T], *, writes: bool = False) -> T:
        """Do what blocks beside the loop: no read waits for it.

        Raises :class:`LedgerUnavailable`, and whatever the work raises.
        """

        def on_a_connection() -> T:
            with closing(self._connect(writes=writes)) as letters:
                return work(letters)

        return await self._desk.do(on_a_connection)

    async def redrive(self, wish: Wish, corrected: bytes | None) -> Published:
        """Publish a dead letter again: the same bytes, or ``corrected`` ones.

        Raises :class:`DeadLetterUnknown`, DeadLetterDecided, NotRedrivable, JournalError and
        LedgerUnavailable.
        """
        loop = asyncio.get_running_loop()
        writer = _Writer(self._publish, loop, self._publish_seconds)

        def work(letters: DeadLetters) -> Published:
            letter = _open(letters, wish)
            redrive = Redrive(letters, writer, wish.by)
            payment = redrive.check(letter, corrected)
            # As the command does: a webhook rests on a finding of the last seconds, this need not.
            asyncio.run_coroutine_threadsafe(self._journal_check.look_now(), loop).result()
            if wish.dry_run:
                return Published(payment.operation_id, None)
            action = REDRIVE if corrected is None else CORRECT
            with self._trailed(loop, wish, action, letter):
                new = Position(*redrive.publish(letter, corrected, payment, again=wish.again))
            log.info(
                "dead_letter_redriven",
                position=letter.position,
                operation_id=payment.operation_id,
                new_position=f"{new.partition}:{new.offset}",
                request_id=wish.request_id,
            )
            return Published(payment.operation_id, new)

        return await self.do(work, writes=True)

    async def discard(self, wish: Wish, because: str) -> None:
        """Decide that nothing is to be made of a dead letter.

        Raises :class:`DeadLetterUnknown`, DeadLetterDecided and LedgerUnavailable.
        """
        loop = asyncio.get_running_loop()

        def work(letters: DeadLetters) -> None:
            letter = _open(letters, wish)
            if wish.dry_run:
                return
            with self._trailed(loop, wish, DISCARD, letter):
                letters.discard(letter, by=wish.by, because=because, again=wish.again)
            log.info("dead_letter_discarded", position=letter.position, request_id=wish.request_id)

        await self.do(work, writes=True)

    @contextmanager
    def _trailed(
        self, loop: asyncio.AbstractEventLoop, wish: Wish, action: str, letter: Letter
    ) -> Iterator[None]:
        """Write down what is done before it is done, and note it when it fails. In a thread.

        Raises :class:`LedgerUnavailable` when it can't be written down.
        """
        who = (action, wish.by, wish.client, letter.position)
        done = self._trail.done(*who, wish.request_id)
        asyncio.run_coroutine_threadsafe(done, loop).result()
        try:
            yield
        except OstatokError as error:
            loop.call_soon_threadsafe(self._trail.failed, *who, str(error), wish.request_id)
            raise

    async def _publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> Position:
        """Publish by the webhooks' producer, under the receiver's rules."""
        self._journal_check.require_match()
        position = await self._journal.publish(key, value, headers)
        self._journal_check.require_match()
        self._watermark.move(position.partition, position.offset + 1)
        return position


class _Writer:
    """The journal, for a thread: the loop publishes, and the thread waits."""

    def __init__(
        self,
        publish: Callable[[bytes, bytes, RecordHeaders], Coroutine[Any, Any, Position]],
        loop: asyncio.AbstractEventLoop,
        seconds: float,
    ) -> None:
        self._publish = publish
        self._loop = loop
        self._seconds = seconds

    def write(
        self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """Write a record, and give its place."""
        publishing = self._publish(key, value, list(headers))
        future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        try:
            return future.result(self._seconds)
        except TimeoutError:
            raise JournalUnavailable from None


def _open(letters: DeadLetters, wish: Wish) -> Letter:
    """Give the dead letter, when it may be decided about."""
    letter = letters.at(*wish.position)
    if not wish.again:
        letter.require_undecided()
    return letter
