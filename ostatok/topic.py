"""The topic as the broker knows it: made by migrate, compared with the ledger by stream and http.

An independent client on purpose: a consumer's own view freezes together with the consumer.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are its public names
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from ostatok.errors import JournalCut, JournalMismatch, JournalShort, JournalUnavailable
from ostatok.kafka import configuring, librdkafka_config
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_SECONDS = 10.0
GRACE_SECONDS = 5.0
"""How much longer than its time-out a request is waited for, should librdkafka say nothing."""

POLL_SECONDS = 0.05

_SILENT: dict[str, Any] = {
    # A request raises what befell it; the client would say it all once more.
    "error_cb": lambda _error: None,
    "log_level": 2,
    "logger": logging.getLogger("librdkafka"),
}

T = TypeVar("T")


class _NoSuchTopic(JournalUnavailable):
    """The broker answered that there is no such topic."""


class Range(msgspec.Struct, frozen=True):
    """The offsets a partition holds: ``[earliest, end)``."""

    earliest: int
    end: int


def check_held(topic: str, held: Mapping[int, Range], next_offsets: Mapping[int, int]) -> None:
    """See that a topic holds what the ledger would read next, or ends just there.

    Ask the ledger first, then the topic: an end only grows, so one below the ledger's offset means
    that the topic lost its tail, as after a power cut. New records would fill the hole, at offsets
    that nobody will ever read. Raises :class:`JournalMismatch`.
    """
    for partition, next_offset in next_offsets.items():
        if not held[partition].earliest <= next_offset <= held[partition].end:
            raise not_held(topic, partition, next_offset, held[partition])


def not_held(topic: str, partition: int, position: int, held: Range) -> JournalMismatch:
    """Give the error that says which offsets are left, and where the ledger would go on."""
    kind = JournalCut if position < held.earliest else JournalShort
    return kind(
        f"Partition {partition} of topic {topic} holds offsets {held.earliest} to {held.end}; "
        f"the ledger would go on at {position}.",
        hint="Records the ledger needs are gone, or the ledger is ahead of the topic. Restore the "
        "topic, or the database of its time; nothing was skipped.",
    )


class Topic:
    """The journal's topic. All raise JournalUnavailable; what is not async blocks: use a thread."""

    def __init__(self, settings: Settings) -> None:
        """Start connecting. Make it after a fork, never before. Raises :class:`SettingsError`."""
        self._settings = settings
        self._admin = self._make_client()
        self._replaced: AdminClient | None = None

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._settings.topic

    def describe(self) -> tuple[str, int] | None:
        """Give the topic's id and its number of partitions; None when there is no such topic.

        The id tells a topic from another of the same name that was made after it was deleted.
        """
        try:
            with self._client() as admin:
                return _id_and_partitions(_result(self._request_description(admin)))
        except _NoSuchTopic:
            return None

    async def describe_async(self) -> tuple[str, int] | None:
        """Give the same as :meth:`describe`, without a thread: it can be given up at any time."""
        try:
            with self._client() as admin:
                async with asyncio.timeout(TIMEOUT_SECONDS + GRACE_SECONDS):
                    return _id_and_partitions(
                        await asyncio.wrap_future(self._request_description(admin))
                    )
        except _NoSuchTopic:
            return None

    def _request_description(self, admin: AdminClient) -> "Future[Any]":
        futures = admin.describe_topics(
            TopicCollection([self.name]), request_timeout=TIMEOUT_SECONDS
        )
        return futures[self.name]

    @contextmanager
    def _client(self) -> Iterator[AdminClient]:
        """Lend the client, and replace it when it got no answer.

        After a broker froze librdkafka may keep for minutes its idea of who leads, or that nobody
        is the controller.
        """
        admin = self._admin
        # The client's reports of a broker that is away pile up until somebody takes them.
        admin.poll(0)
        try:
            yield admin
        except TimeoutError:
            self._replace(admin)
            raise JournalUnavailable("Kafka did not answer in time.") from None
        except KafkaException as error:
            details: Any = error.args[0]
            if details.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _NoSuchTopic(f"There is no topic {self.name}.") from error
            self._replace(admin)
            raise JournalUnavailable(f"Kafka: {details.str()}.") from error

    def _make_client(self) -> AdminClient:
        with configuring():
            return AdminClient(librdkafka_config(self._settings) | _SILENT)

    def _replace(self, admin: AdminClient) -> None:
        # Not twice, when two threads found the same.
        if self._admin is admin:
            # Kept until the next is replaced: what it has in flight must not find it gone.
            self._replaced = admin
            self._admin = self._make_client()

    def ranges(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Give what each of the partitions holds now."""
        wished = list(partitions)
        try:
            return self._ranges(wished)
        except JournalUnavailable:
            # The client that had an old idea of who leads was replaced.
            return self._ranges(wished)

    def _ranges(self, partitions: list[int]) -> dict[int, Range]:
        with self._client() as admin:
            earliest, ends = self._request_ranges(admin, partitions)
            # All of them, or a client would be replaced that still has answers on the way.
            wait([*earliest, *ends], TIMEOUT_SECONDS + GRACE_SECONDS)
            return _ranges_of(partitions, map(_result, earliest), map(_result, ends))

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Give the same as :meth:`ranges`, without a thread and without a second try."""
        wished = list(partitions)
        with self._client() as admin:
            earliest, ends = self._request_ranges(admin, wished)
            asked = [asyncio.wrap_future(one) for one in (*earliest, *ends)]
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS + GRACE_SECONDS):
                    if asked:
                        await asyncio.wait(asked)
                found = [one.result() for one in asked]
            finally:
                for one in asked:
                    one.cancel()
        return _ranges_of(wished, found[: len(wished)], found[len(wished) :])

    def _request_ranges(
        self, admin: AdminClient, partitions: list[int]
    ) -> "tuple[list[Future[Any]], list[Future[Any]]]":
        """Ask for the partitions' earliest offsets and for their ends, in this order."""
        wanted = [TopicPartition(self.name, partition) for partition in partitions]
        if not wanted:
            return [], []
        earliest, ends = (
            admin.list_offsets(dict.fromkeys(wanted, spec), request_timeout=TIMEOUT_SECONDS)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
        return [earliest[one] for one in wanted], [ends[one] for one in wanted]

    def ensure(self) -> tuple[str, int]:
        """Make the topic when there is none; give its id and its number of partitions.

        Raises :class:`JournalMismatch` when it is there with settings that break a promise.
        """
        there = self.describe()
        if there is not None:
            self._check()
            return there
        self._make()
        # The controller has it; the brokers that are asked next may hear of it a moment later.
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        while (there := self._served()) is None:
            if time.monotonic() > give_up_at:
                raise JournalUnavailable(f"Topic {self.name} was made and is not there.")
            time.sleep(POLL_SECONDS)
        return there

    def _served(self) -> tuple[str, int] | None:
        """Give the same as :meth:`describe` once each partition has a leader that answers."""
        there = self.describe()
        if there is not None:
            try:
                self._ranges(list(range(there[1])))
            except JournalUnavailable:
                return None
        return there

    def _make(self) -> None:
        settings = self._settings
        new = NewTopic(
            self.name,
            num_partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication,
            config=self._promised(),
        )
        with self._client() as admin:
            future = admin.create_topics([new], request_timeout=TIMEOUT_SECONDS)[self.name]
            try:
                _result(future)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                self._check()

    def _promised(self) -> dict[str, str]:
        """The settings the guarantees rest on."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self._settings.topic_retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": str(self._settings.topic_min_insync),
            "unclean.leader.election.enable": "false",
        }

    def _check(self) -> None:
        resource = ConfigResource(ResourceType.TOPIC, self.name)
        with self._client() as admin:
            future = admin.describe_configs([resource], request_timeout=TIMEOUT_SECONDS)[resource]
            found = {name: entry.value for name, entry in _result(future).items()}
        wrong = {
            name: (found.get(name), wanted)
            for name, wanted in self._promised().items()
            if found.get(name) != wanted
        }
        if wrong:
            listed = ", ".join(
                f"{name} is {has}, not {must}" for name, (has, must) in wrong.items()
            )
            raise JournalMismatch(
                f"Topic {self.name} can't be the journal: {listed}.",
                hint="Change the topic with kafka-configs, or if it is meant to be so the settings "
                f"{PREFIX}TOPIC_RETENTION_MS and {PREFIX}TOPIC_MIN_INSYNC.",
            )


def _result(future: "Future[T]") -> T:
    return future.result(timeout=TIMEOUT_SECONDS + GRACE_SECONDS)


def _ranges_of(
    partitions: list[int], earliest: Iterable[Any], ends: Iterable[Any]
) -> dict[int, Range]:
    found = {
        partition: Range(first.offset, end.offset)
        for partition, first, end in zip(partitions, earliest, ends, strict=True)
    }
    if any(held.earliest < 0 or held.end < 0 for held in found.values()):
        # librdkafka's "invalid", without an error: a broker that is just starting.
        raise JournalUnavailable("Kafka does not know its offsets yet.")
    return found


def _id_and_partitions(description: Any) -> tuple[str, int]:
    return str(description.topic_id), len(description.partitions)
