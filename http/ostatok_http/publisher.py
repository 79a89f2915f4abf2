"""Publishing to the journal: a record is in it when a broker said so, and not before.

librdkafka does the work in threads of its own. One more thread here collects its delivery reports
and wakes the event loop once for each burst of them: waking it for each report costs more than
everything else that a webhook takes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from threading import Thread
from typing import Any, Literal

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ostatok.errors import JournalFull, JournalUnavailable
from ostatok.journal import PARTITIONER
from ostatok.kafka import configuring, librdkafka_config
from ostatok.settings import Settings
from ostatok_http.ports import Position, Queue, RecordHeaders

GRACE_SECONDS = 0.25
"""How much longer than its time-out a record is waited for, should librdkafka say nothing."""

RENEW_SECONDS = 30.0
"""A producer that acknowledged nothing in a partition for so long is replaced by a new one."""

CHECK_SECONDS = 2.0
"""How long a broker may take to say whether the topic is there."""

_SWEEP_SECONDS = 0.1
_POLL_SECONDS = 0.1
_ANY_PARTITION = -1

log = structlog.get_logger()


class Publisher:
    """The one producer of a process. Make it after a fork, never before.

    A failure to publish means *unknown*, not *not written*: the sender repeats, and its
    operation_id protects it.
    """

    def __init__(self, settings: Settings, overrides: Mapping[str, Any] | None = None) -> None:
        """Take the settings; ``overrides`` of librdkafka's configuration are for tests."""
        self._topic = settings.topic
        self._requests_max = settings.http_requests_max
        self._deadline_seconds = settings.publish_timeout_seconds + GRACE_SECONDS
        self._config = _config(settings) | dict(overrides or {})
        self._in_hand: dict[_Waiting, None] = {}
        self._reports: deque[_Report] = deque()
        self._woken = False
        self._open = False
        self._renewal_due = False
        self._failing_since: dict[int, float] = {}
        self._troubled = False

    async def open(self) -> None:
        """Start connecting; does not wait for a broker to be there."""
        self._loop = asyncio.get_running_loop()
        self._producer = self._make_producer()
        self._open = True
        self._start_thread()
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def close(self, seconds: float) -> None:
        """Send what is in hand for at most ``seconds``, then fail the rest."""
        if not self._open:
            return
        self._open = False
        self._sweeping.cancel()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(_finish, self._producer, seconds)
        self._settle()
        for waiting in list(self._in_hand):
            self._fail(waiting, "the service is stopping")

    @property
    def in_hand(self) -> int:
        """How many records wait for their acknowledgement."""
        return len(self._in_hand)

    def queue(self) -> Queue:
        """How full librdkafka's queue is: what is not sent, not acknowledged, or not collected."""
        return Queue(len(self._producer), self._config["queue.buffering.max.messages"])

    def publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> asyncio.Future[Position]:
        """Give what is done once every in-sync replica has the record: its place in the journal.

        Raises :class:`JournalFull` at once when too many are in hand, and
        :class:`JournalUnavailable` at once or by the future, when no acknowledgement came in time.
        """
        if not self._open:
            raise JournalUnavailable("The journal is closed: the service is stopping.")
        if len(self._in_hand) >= self._requests_max:
            raise JournalFull
        waiting = _Waiting(self._loop, self._deadline_seconds, self._reports)
        try:
            self._producer.produce(
                self._topic,
                value,
                key,
                on_delivery=waiting.report,
                headers=headers,  # type: ignore[arg-type]  # it would take text and None as well
            )
        except BufferError:
            raise JournalFull from None
        except KafkaException as error:
            self._note_failure(error.args[0], _ANY_PARTITION)
            raise JournalUnavailable(f"Kafka: {error.args[0]}") from error
        self._in_hand[waiting] = None
        return waiting.future

    async def missing(self) -> Literal["broker", "topic"] | None:
        """What is not there of all that a record needs."""
        try:
            found = await asyncio.to_thread(
                self._producer.list_topics, self._topic, timeout=CHECK_SECONDS
            )
        except KafkaException:
            return "broker"
        topic = found.topics.get(self._topic)
        return None if topic is not None and topic.error is None else "topic"

    def _make_producer(self) -> Producer:
        with configuring():
            return Producer(self._config | {"error_cb": self._on_error})

    def _start_thread(self) -> None:
        self._thread = Thread(target=self._poll, name="delivery-reports", daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        """The thread: collect delivery reports, and wake the loop when it is not awake already."""
        while self._open:
            self._producer.poll(_POLL_SECONDS)
            self._wake()

    def _wake(self) -> None:
        # The loop takes the flag down before it empties the queue, so a report that came while the
        # flag was up is always seen.
        if self._reports and not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._settle)

    def _on_error(self, error: KafkaError) -> None:
        """Hear of librdkafka's troubles, on its thread; it mends all but fatal ones by itself."""
        if error.fatal():
            self._renewal_due = True
        self._in_trouble(error.str())

    def _in_trouble(self, why: str) -> None:
        """Log the first sign of trouble; the next event is that all is well again."""
        if not self._troubled:
            self._troubled = True
            log.warning("journal_in_trouble", reason=why)

    def _settle(self) -> None:
        """Tell each waiting request what the broker said."""
        self._woken = False
        while self._reports:
            waiting, error, message = self._reports.popleft()
            partition = message.partition()
            offset = message.offset()
            if error is not None:
                self._note_failure(error, _ANY_PARTITION if partition is None else partition)
                self._fail(waiting, str(error))
            elif partition is None or offset is None or offset < 0:
                # The broker knows the record from an earlier try and has forgotten where it lies.
                self._fail(waiting, "acknowledged without a position")
            else:
                self._note_success(partition)
                self._in_hand.pop(waiting, None)
                if not waiting.future.done():
                    waiting.future.set_result(Position(partition, offset))

    def _fail(self, waiting: "_Waiting", why: str) -> None:
        self._in_hand.pop(waiting, None)
        if not waiting.future.done():
            waiting.future.set_exception(JournalUnavailable(f"Kafka: {why}"))

    def _sweep(self) -> None:
        """Fail what has waited too long: one timer for all, not one for each."""
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        late = []
        for waiting in self._in_hand:
            if waiting.deadline > now:
                break  # All wait equally long, so the rest came later.
            late.append(waiting)
        for waiting in late:
            self._note_failure("no word within the time-out", _ANY_PARTITION)
            self._fail(waiting, "no word within the time-out")
        if self._renewal_due or any(
            now - since > RENEW_SECONDS for since in self._failing_since.values()
        ):
            self._renew()
        if not self._thread.is_alive():
            log.error("publisher_thread_died")
            self._start_thread()

    def _note_failure(self, error: KafkaError | str, partition: int) -> None:
        if isinstance(error, KafkaError) and error.fatal():
            self._renewal_due = True
        self._failing_since.setdefault(partition, self._loop.time())
        self._in_trouble(str(error))

    def _note_success(self, partition: int) -> None:
        if self._failing_since:
            self._failing_since.pop(partition, None)
            self._failing_since.pop(_ANY_PARTITION, None)
        if self._troubled:
            self._troubled = False
            log.info("journal_well")

    def _renew(self) -> None:
        """Replace the producer: after a fatal error it refuses everything, for ever.

        Others are known to fail for ever in one partition without calling it fatal (an idempotent
        session whose sequence is lost: confluent-kafka-dotnet 2519). What the old one has in hand
        it may still deliver.
        """
        log.warning("producer_renewed", fatal=self._renewal_due)
        self._renewal_due = False
        self._failing_since.clear()
        old, self._producer = self._producer, self._make_producer()
        Thread(target=self._retire, args=(old,), name="old-producer", daemon=True).start()

    def _retire(self, old: Producer) -> None:
        _finish(old, self._deadline_seconds)
        self._wake()


class _Waiting:
    """One record in hand: who waits for its report, and until when."""

    __slots__ = ("deadline", "future", "reports")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, reports: "deque[_Report]"
    ) -> None:
        self.future: asyncio.Future[Position] = loop.create_future()
        self.deadline = loop.time() + seconds
        self.reports = reports

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Keep the delivery report for the loop; called on a thread that polls."""
        self.reports.append((self, error, message))


_Report = tuple[_Waiting, KafkaError | None, Message]


def _finish(producer: Producer, seconds: float) -> None:
    """Let the producer deliver what it has, then give up the rest; both make reports."""
    if producer.flush(seconds):
        producer.purge()
        producer.flush(GRACE_SECONDS)


def _config(settings: Settings) -> dict[str, Any]:
    timeout_ms = int(settings.publish_timeout_seconds * 1000)
    return librdkafka_config(settings) | {
        "client.id": "ostatok-http",
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        # librdkafka wants the time-out longer than the linger.
        "linger.ms": min(settings.publish_linger_ms, timeout_ms / 2),
        "message.timeout.ms": timeout_ms,
        # Above the limit of requests in hand: records that were given up as late are in there too.
        "queue.buffering.max.messages": 2 * settings.http_requests_max,
        # A batch is what came within the linger for one partition: a few records of 200 bytes,
        # which hardly compress.
        "compression.type": "none",
        # Or a mistyped topic would be made, with the broker's default of partitions.
        "allow.auto.create.topics": False,
        # A topic that is not there is said to be missing after this, not after half a minute, and
        # found this long after it was made.
        "topic.metadata.propagation.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 5_000,
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        # Errors come to error_cb; only what is worse than an error is worth a line of its own.
        "log_level": 2,
        "logger": logging.getLogger("ostatok.kafka"),
    }
