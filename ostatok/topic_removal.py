"""Deleting the topic, as a step of recovery: what is to be in its place is known then."""

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ostatok.errors import JournalUnavailable, OstatokError
from ostatok.kafka import configuring, librdkafka_config, quiet
from ostatok.settings import Settings
from ostatok.topic import GRACE_SECONDS, POLL_SECONDS, TIMEOUT_SECONDS, Topic


def delete(settings: Settings) -> None:
    """Delete the topic, and wait until it is gone. Blocks.

    Raises OstatokError when there is none, and JournalUnavailable.
    """
    topic = Topic(settings)
    if topic.describe() is None:
        raise OstatokError(f"There is no topic {topic.name}.")
    with configuring():
        admin = AdminClient(librdkafka_config(settings) | quiet())
    try:
        admin.delete_topics([topic.name], request_timeout=TIMEOUT_SECONDS)[topic.name].result(
            TIMEOUT_SECONDS + GRACE_SECONDS
        )
    except TimeoutError:
        raise JournalUnavailable("Kafka did not answer in time.") from None
    except KafkaException as error:
        raise JournalUnavailable(f"Kafka: {error.args[0].str()}.") from error
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while topic.describe() is not None:
        if time.monotonic() > give_up_at:
            raise JournalUnavailable(f"Topic {topic.name} was deleted and is still there.")
        time.sleep(POLL_SECONDS)
