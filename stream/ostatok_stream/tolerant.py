"""A second reader, for a record that aiokafka can't decode.

A header whose name is no UTF-8 ends aiokafka's decoding of the whole fetch, and so of everything
behind it, for ever; anyone who may write to the topic can write one. librdkafka hands out such a
record's key and value. Its headers must not even be looked at: confluent_kafka 2.16 gives a list
with holes in it, and the interpreter crashes.
"""

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ostatok.errors import JournalUnavailable
from ostatok.journal import Record
from ostatok.kafka import librdkafka_config, quiet
from ostatok.settings import Settings

TIMEOUT_SECONDS = 10.0


class TolerantReader:
    """Reads single records, outside of any group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, partition: int, offset: int) -> Record:
        """Read the first record at or behind ``offset``, without its headers. Blocks.

        Raises :class:`JournalUnavailable` when nothing comes.
        """
        config = {
            **librdkafka_config(self._settings),
            **quiet(),
            "group.id": f"{self._settings.stream_group}-tolerant",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            # As Faust's consumer: a record counts whether its transaction was committed or not.
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 50,
        }
        consumer = Consumer(config)
        try:
            consumer.assign([TopicPartition(self._settings.topic, partition, offset)])
            message = consumer.poll(TIMEOUT_SECONDS)
        except KafkaException as error:
            raise JournalUnavailable(f"Kafka: {error}.") from error
        finally:
            consumer.close()
        found = None if message is None else message.offset()
        if message is None or found is None or message.error() is not None:
            reason = "nothing came" if message is None else message.error()
            raise JournalUnavailable(f"Kafka: partition {partition} from {offset}: {reason}.")
        key, value = message.key(), message.value()
        return Record(
            partition,
            found,
            message.timestamp()[1],
            key.encode() if isinstance(key, str) else key,
            value.encode() if isinstance(value, str) else value,
            None,
        )
