"""The producer: librdkafka itself, with a broker that is away, or one that lives inside of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from ostatok.errors import JournalFull, JournalUnavailable, SettingsError
from ostatok.journal import key_of, partition_of
from ostatok.settings import load
from ostatok_http import publisher as module
from ostatok_http.publisher import Publisher

Open = Callable[..., Awaitable[Publisher]]

# librdkafka carries a mock cluster for its own tests; its topics have 4 partitions.
MOCK = {"test.mock.num.brokers": 1, "allow.auto.create.topics": True}
MOCK_PARTITIONS = 4
NOBODY = "127.0.0.1:1"


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Open publishers; they are closed at the end."""
    publishers = []

    async def open_one(overrides: dict[str, Any] | None = None, **settings: Any) -> Publisher:
        given = {"kafka_bootstrap_servers": NOBODY, "publish_timeout_seconds": 30} | settings
        publisher = Publisher(load(**given), overrides)
        await publisher.open()
        publishers.append(publisher)
        return publisher

    yield open_one
    for publisher in publishers:
        await publisher.close(0)


async def test_what_the_broker_has_gets_its_position(opened: Open) -> None:
    """Records of one INN lie in the INN's partition, one after the other."""
    publisher = await opened(MOCK)
    for inn in ("1234567890", "7707083893", "500100732259", "0000000000"):
        positions = await asyncio.gather(
            *(publisher.publish(key_of(inn), b"{}", [("source", b"bank")]) for _ in range(50))
        )
        assert {partition for partition, _ in positions} == {partition_of(inn, MOCK_PARTITIONS)}
        offsets = sorted(offset for _, offset in positions)
        assert offsets == list(range(offsets[0], offsets[0] + 50))
    assert publisher.in_hand == 0


async def test_a_broker_that_is_away_costs_the_time_out(opened: Open) -> None:
    """Without an acknowledgement the request fails at its deadline, not before nor much later."""
    publisher = await opened(publish_timeout_seconds=0.5)
    started = time.monotonic()
    with pytest.raises(JournalUnavailable):
        await publisher.publish(b"1234567890", b"{}", [])
    assert 0.5 <= time.monotonic() - started < 5
    assert publisher.in_hand == 0
    assert await publisher.missing() == "broker"


async def test_silence_is_not_waited_out(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should librdkafka never report on a record, the sweep fails it all the same."""
    monkeypatch.setattr(module, "GRACE_SECONDS", -29.9)
    publisher = await opened()
    with pytest.raises(JournalUnavailable, match="no word"):
        await asyncio.wait_for(publisher.publish(b"1234567890", b"{}", []), 10)
    assert publisher.in_hand == 0


async def test_more_than_the_limit_is_refused_at_once(opened: Open) -> None:
    """With as many in hand as may be, the next one hears so without waiting for any time-out."""
    publisher = await opened(http_requests_max=3)
    waiting = [asyncio.ensure_future(publisher.publish(b"1", b"{}", [])) for _ in range(3)]
    await asyncio.sleep(0)
    assert publisher.in_hand == 3
    with pytest.raises(JournalFull):
        await asyncio.wait_for(publisher.publish(b"1", b"{}", []), 1)
    await publisher.close(0)
    for task in waiting:
        with pytest.raises(JournalUnavailable):
            await task


async def test_a_full_queue_is_refused_at_once(opened: Open) -> None:
    """When librdkafka's own queue is full of records given up long ago, that is said at once."""
    publisher = await opened({"queue.buffering.max.messages": 1})
    waiting = asyncio.ensure_future(publisher.publish(b"1", b"{}", []))
    await asyncio.sleep(0)
    with pytest.raises(JournalFull):
        await asyncio.wait_for(publisher.publish(b"1", b"{}", []), 1)
    waiting.cancel()


async def test_what_kafka_refuses_is_unavailable(opened: Open) -> None:
    """An error that librdkafka raises on the spot is an answer like any other."""
    publisher = await opened(MOCK)
    with pytest.raises(JournalUnavailable, match="too large"):
        await publisher.publish(b"1", b"x" * 2_000_000, [])
    assert publisher.in_hand == 0


async def test_a_topic_that_is_not_there_is_not_made(opened: Open) -> None:
    """A record for it fails; the producer makes no topic with the broker's own settings."""
    publisher = await opened({"test.mock.num.brokers": 1}, publish_timeout_seconds=3)
    assert await publisher.missing() == "topic"
    with pytest.raises(JournalUnavailable, match="Unknown topic"):
        await publisher.publish(b"1234567890", b"{}", [])
    assert await publisher.missing() == "topic"


async def test_a_stop_answers_everyone(opened: Open) -> None:
    """Who still waits when the time to stop is over is told; and nothing is taken after that."""
    publisher = await opened()
    waiting = asyncio.ensure_future(publisher.publish(b"1", b"{}", []))
    await asyncio.sleep(0)
    await asyncio.wait_for(publisher.close(0.1), 10)
    with pytest.raises(JournalUnavailable):
        await waiting
    with pytest.raises(JournalUnavailable, match="closed"):
        await publisher.publish(b"1", b"{}", [])


async def test_a_stop_delivers_what_is_in_hand(opened: Open) -> None:
    """What was taken before the stop is acknowledged in the time that is left."""
    publisher = await opened(MOCK)
    waiting = [asyncio.ensure_future(publisher.publish(b"1", b"{}", [])) for _ in range(100)]
    await asyncio.sleep(0)
    await publisher.close(20)
    offsets = [(await task).offset for task in waiting]
    assert sorted(offsets) == list(range(100))


async def test_a_request_that_is_given_up_is_forgotten(opened: Open) -> None:
    """A cancelled request neither breaks the report that comes for it nor stays in hand."""
    publisher = await opened(MOCK)
    given_up = asyncio.ensure_future(publisher.publish(b"1", b"{}", []))
    await asyncio.sleep(0)
    given_up.cancel()
    position = await publisher.publish(b"1", b"{}", [])
    assert position.offset == 1
    assert publisher.in_hand == 0


async def test_a_producer_that_is_lost_is_replaced(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer that fails without an end gives way to a new one, and publishing goes on."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.0)
    made: list[Producer] = []

    def make(config: dict[str, Any]) -> Producer:
        made.append(Producer(config | (MOCK if made else {})))
        return made[-1]

    monkeypatch.setattr(module, "Producer", make)
    publisher = await opened(publish_timeout_seconds=0.2)
    with pytest.raises(JournalUnavailable):
        await publisher.publish(b"1", b"{}", [])

    async def until_published() -> int:
        while True:
            try:
                return (await publisher.publish(b"1", b"{}", [])).offset
            except JournalUnavailable:
                continue

    assert await asyncio.wait_for(until_published(), 30) == 0
    assert len(made) >= 2


async def test_settings_that_kafka_can_not_use_are_named(opened: Open) -> None:
    """A configuration that librdkafka refuses is an error of the settings, at the start."""
    with pytest.raises(SettingsError, match="refuses"):
        await opened({"compression.type": "stone"})
