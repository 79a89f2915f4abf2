"""The worker on records that no receiver of ours wrote, and on topics that are not its own."""

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from support.foreign import HOME, INN, produce, produce_nameless, strange_records
from support.payments import body, document
from support.services import Services, dump
from support.system import READY_SECONDS_MAX, System, kill, wait_until

from ostatok.journal import PARTITIONER
from ostatok.local.ports import free_port
from ostatok.topic import Topic


@pytest.fixture
def empty(services: Services, tmp_path: Path) -> Iterator[System]:
    """A migrated system of which nothing runs yet."""
    with System(services.new_settings(), tmp_path) as made:
        yield made


def outcomes(system: System) -> dict[str, int]:
    """How many records of each outcome the ledger knows."""
    return dict(
        system.sql(
            "SELECT 'applied', count(*) FROM payment UNION ALL SELECT 'dead', count(*) "
            "FROM dead_letter UNION ALL SELECT outcome, count(*) FROM duplicate GROUP BY outcome"
        )
    )


def applied_up_to(system: System) -> int:
    """How many records have their outcome."""
    return int(system.sql("SELECT sum(next_offset)::bigint FROM applied_offset")[0][0])


def wait_applied(system: System, records: int) -> None:
    """Wait until so many records have their outcome."""
    wait_until(lambda: applied_up_to(system) >= records, f"{records} records applied")


def test_strange_records_become_dead_letters(empty: System) -> None:
    """Null, rubbish, a wrong key, a wrong partition, 1 MiB: kept, and the stream goes on."""
    good = body(payer_inn=INN)
    strange = strange_records()
    produce(empty.settings, [*strange, {"key": INN, "value": good}, {"key": INN, "value": good}])
    worker = empty.start_stream()
    wait_applied(empty, len(strange) + 2)
    assert outcomes(empty) == {"dead": len(strange), "applied": 1, "duplicate": 1}
    assert empty.sql("SELECT max(length(value)) FROM dead_letter") == [
        (max(len(one["value"] or b"") for one in strange),)
    ]
    assert worker.poll() is None


def test_the_ledger_is_read_back_from_its_own_offset(empty: System) -> None:
    """A worker killed and started again goes on where the ledger stands, not where Kafka thinks."""
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)} for _ in range(50)])
    first = empty.start_stream()
    wait_applied(empty, 50)
    first.kill()
    first.wait()
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)} for _ in range(50)])
    empty.start_stream()
    wait_applied(empty, 100)
    assert outcomes(empty) == {"dead": 0, "applied": 100}
    batches = empty.events("stream.log", "batch_applied")
    assert sum(one.get("seen", 0) for one in batches) == 0
    assert sum(one.get("applied", 0) for one in batches) == 100


def test_the_same_topic_makes_the_same_ledger(empty: System) -> None:
    """Read again in batches of 7 by workers that end and are killed: equal to the byte."""
    pick = random.Random(1)
    inns = [INN, "1234567890", "770412345608", "500100732259"]
    sent: list[dict[str, Any]] = []
    for _ in range(400):
        paid = document(payer_inn=pick.choice(inns), amount=pick.randrange(1, 10**6))
        if sent and pick.random() < 0.4:
            paid = {**pick.choice(sent), "amount": pick.choice([paid["amount"], 5])}
        sent.append(paid if pick.random() < 0.95 else {**paid, "document_number": ""})
    produce(
        empty.settings,
        [{"key": one["payer_inn"], "value": json.dumps(one).encode()} for one in sent],
    )
    empty.start_stream()
    wait_applied(empty, 400)
    changes = {"database_schema": "again", "stream_group": "again", "stream_batch_records_max": 7}
    other = empty.settings.model_copy(update={**changes, "stream_metrics_port": free_port()})
    with System(other, empty.folder) as again:
        for upto, end in (
            (50, subprocess.Popen.terminate),
            (150, subprocess.Popen.terminate),
            (250, kill),
        ):
            worker = again.start_stream()
            wait_applied(again, upto)
            end(worker)
            worker.wait()
        again.start_stream()
        wait_applied(again, 400)
        found = dump(other)
    assert found == dump(empty.settings)
    assert found.pop("replayed") == []
    assert len(found) == 6
    assert {len(rows) > 0 for rows in found.values()} == {True}


def failed_start(system: System, command: str = "stream") -> str:
    """Start a worker that must end by itself; what it said."""
    worker = system.start(command, log="failed.log")
    assert worker.wait(READY_SECONDS_MAX) == 1
    text = (system.folder / "failed.log").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("{"))


def test_a_topic_made_anew_stops_the_worker(empty: System) -> None:
    """Its records at the ledger's offsets are other payments: say so, skip nothing, end with 1."""
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)}])
    worker = empty.start_stream()
    wait_applied(empty, 1)
    worker.terminate()
    worker.wait()
    admin = AdminClient({"bootstrap.servers": empty.settings.kafka_bootstrap_servers})
    topic = empty.settings.topic
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    refused = failed_start(empty)
    assert "There is no topic" in refused
    assert "There is no topic" in failed_start(empty, "migrate")
    assert Topic(empty.settings).describe() is None  # An empty one would be in the way of the lost.
    make_again(empty)
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)} for _ in range(3)])
    refused = failed_start(empty)
    assert "made anew" in refused
    assert "docs/recovery.md" in refused
    assert "Traceback" not in refused
    assert outcomes(empty)["applied"] == 1


def make_again(system: System) -> None:
    """Make the topic as ``migrate`` does, without telling the ledger."""
    Topic(system.settings).ensure()


def test_offsets_the_topic_lost_stop_the_worker(empty: System) -> None:
    """Retention cut what was not applied yet: the worker says which offsets are left."""
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)} for _ in range(5)])
    admin = AdminClient({"bootstrap.servers": empty.settings.kafka_bootstrap_servers})
    cut = TopicPartition(empty.settings.topic, HOME, 3)
    admin.delete_records([cut])[cut].result(30)
    refused = failed_start(empty)
    assert f"Partition {HOME}" in refused
    assert "holds offsets 3 to 5" in refused
    assert "would go on at 0" in refused
    assert outcomes(empty)["applied"] == 0


def test_a_transactional_producer_leaves_lawful_gaps(empty: System) -> None:
    """The markers of its transactions take offsets that hold no record."""
    producer = Producer(
        {
            "bootstrap.servers": empty.settings.kafka_bootstrap_servers,
            "partitioner": PARTITIONER,
            "transactional.id": "by-hand",
        }
    )
    producer.init_transactions(30)
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(empty.settings.topic, key=INN, value=body(payer_inn=INN))
        producer.commit_transaction(30)
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)}])
    empty.start_stream()
    wait_applied(empty, 7)
    assert outcomes(empty)["applied"] == 4


def test_a_header_that_is_no_utf8_does_not_stop_the_stream(empty: System) -> None:
    """Aiokafka can't decode the fetch: it is read another way, and the record is dead."""
    good = [{"key": INN, "value": body(payer_inn=INN)}]
    produce(empty.settings, good * 3)
    produce_nameless(empty.settings, HOME)
    produce(empty.settings, good * 3)
    worker = empty.start_stream()
    wait_applied(empty, 7)
    for _ in range(3):
        produce_nameless(empty.settings, HOME)
        produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)}])
    wait_applied(empty, 13)
    assert outcomes(empty) == {"applied": 4, "duplicate": 5, "dead": 4}
    assert empty.sql("SELECT count(*) FROM payment WHERE received_at < '2026-11-01'") == [(0,)]
    assert empty.sql("SELECT DISTINCT reason FROM dead_letter") == [
        ("the name of a header is not UTF-8",)
    ]
    assert worker.poll() is None


def test_group_offsets_are_a_courtesy(empty: System) -> None:
    """Lag tools see the group's offsets; the worker never reads them back."""
    produce(empty.settings, [{"key": INN, "value": body(payer_inn=INN)} for _ in range(4)])
    empty.start_stream()
    wait_applied(empty, 4)
    consumer = Consumer(
        {
            "bootstrap.servers": empty.settings.kafka_bootstrap_servers,
            "group.id": empty.settings.stream_group,
        }
    )
    asked = [TopicPartition(empty.settings.topic, HOME)]
    wait_until(lambda: consumer.committed(asked, 10)[0].offset == 4, "the group's offset is 4")
    consumer.close()
