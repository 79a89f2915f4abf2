"""The topic as the broker knows it: made by ``migrate``, looked at before any seek.

An independent client on purpose: a consumer's own view freezes together with the consumer.
"""

import time
from collections.abc import Iterable
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

from ostatok.errors import JournalMismatch, JournalUnavailable
from ostatok.kafka import librdkafka_config, quiet
from ostatok.settings import PREFIX, Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05

T = TypeVar("T")


class Range(msgspec.Struct, frozen=True):
    """The offsets a partition holds: ``[earliest, end)``."""

    earliest: int
    end: int


class Topic:
    """The journal's topic. Methods block: call them in a thread. All raise JournalUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({**librdkafka_config(settings), **quiet()})

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._settings.topic

    def describe(self) -> tuple[str, int] | None:
        """Give the topic's id and its number of partitions; None when there is no such topic.

        The id tells a topic from another of the same name that was made after it was deleted.
        """
        futures = self._admin.describe_topics(
            TopicCollection([self.name]), request_timeout=TIMEOUT_SECONDS
        )
        try:
            description = _result(futures[self.name])
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise _unavailable(error) from error
        return str(description.topic_id), len(description.partitions)

    def ranges(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Give what each of the partitions holds now."""
        wished = list(partitions)
        try:
            return self._ranges(wished)
        except JournalUnavailable:
            # The client may have an old idea of who leads (a broker that froze, say), and keeps it
            # for as long as nobody makes it look again.
            self.describe()
            return self._ranges(wished)

    def _ranges(self, partitions: list[int]) -> dict[int, Range]:
        wanted = [TopicPartition(self.name, partition) for partition in partitions]
        found: dict[int, dict[str, int]] = {one.partition: {} for one in wanted}
        if not wanted:
            return {}
        for which, spec in (("earliest", OffsetSpec.earliest()), ("end", OffsetSpec.latest())):
            futures = self._admin.list_offsets(
                dict.fromkeys(wanted, spec), request_timeout=TIMEOUT_SECONDS
            )
            for one, future in futures.items():
                try:
                    found[one.partition][which] = _result(future).offset
                except KafkaException as error:
                    raise _unavailable(error) from error
        return {partition: Range(**offsets) for partition, offsets in found.items()}

    def ensure(self) -> tuple[str, int]:
        """Make the topic when there is none; give its id and its number of partitions.

        Raises :class:`JournalMismatch` when it is there with settings that break a promise.
        """
        there = self.describe()
        if there is not None:
            self._check()
            return there
        self._make()
        # The controller has it; the broker that is asked next may hear of it a moment later.
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        while (there := self.describe()) is None:
            if time.monotonic() > give_up_at:
                raise JournalUnavailable(f"Topic {self.name} was made and is not there.")
            time.sleep(POLL_SECONDS)
        return there

    def _make(self) -> None:
        settings = self._settings
        new = NewTopic(
            self.name,
            num_partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication,
            config=self._promised(),
        )
        future = self._admin.create_topics([new], request_timeout=TIMEOUT_SECONDS)[self.name]
        try:
            _result(future)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _unavailable(error) from error
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
        future = self._admin.describe_configs([resource], request_timeout=TIMEOUT_SECONDS)[resource]
        try:
            found = {name: entry.value for name, entry in _result(future).items()}
        except KafkaException as error:
            raise _unavailable(error) from error
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
    try:
        return future.result(timeout=TIMEOUT_SECONDS + 5)
    except TimeoutError:
        raise JournalUnavailable("Kafka did not answer in time.") from None


def _unavailable(error: KafkaException) -> JournalUnavailable:
    details: Any = error.args[0]
    return JournalUnavailable(f"Kafka: {details.str()}.")
