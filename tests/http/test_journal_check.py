"""Whether the topic is the ledger's, on a real broker and database: what is answered if not."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from structlog.testing import capture_logs
from support.payments import body
from support.services import Services
from support.system import POLL_SECONDS, wait_until
from support.webhooks import (
    JSON,
    PROBLEM,
    WEBHOOK,
    EmptyLedger,
    RecordingJournal,
    Serve,
    TheTopic,
    of_database,
)

from ostatok.errors import JournalUnavailable
from ostatok.local.ports import free_port
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.connection import conninfo
from ostatok_db.migrate import adopt_topic
from ostatok_http import journal_check
from ostatok_http.health import NOT_THE_LEDGERS
from ostatok_http.publisher import Publisher
from ostatok_http.refusals import MISMATCH

SECONDS_MAX = 60
REFUSED = (503, {"error": MISMATCH.error})
TAKEN = (200, {"message": "Payment processed successfully"})
READY = (200, {"status": "ok"})


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pause between two looks short."""
    monkeypatch.setattr(journal_check, "LOOK_SECONDS", 0.05)


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic, and a database whose ledger knows none."""
    given = services.new_settings()
    Topic(given).ensure()
    return given


@pytest.fixture
def adopted(settings: Settings) -> Settings:
    """The same, once the ledger knows the topic."""
    topic_id, partitions = Topic(settings).ensure()
    adopt_topic(settings, topic_id=topic_id, partitions=partitions)
    return settings


async def served(serve: Serve, settings: Settings, **changes: Any) -> ClientSession:
    """Start the service on the real journal and ledger."""
    given = settings.model_copy(update=changes)
    ports = {"view": Topic(given), **of_database(given)}
    return await serve(Publisher(given), **ports, topic=given.topic)


async def post(client: ClientSession, **headers: str) -> tuple[int, Any]:
    """Post a new payment; gives status and body."""
    async with client.post(WEBHOOK, data=body(), headers=JSON | headers) as answer:
        assert ("Retry-After" in answer.headers) is (answer.status == 503)
        return answer.status, json.loads(await answer.read())


async def ready(client: ClientSession) -> tuple[int, Any]:
    """Ask whether it is ready; gives status and body."""
    async with client.get("/readyz") as answer:
        return answer.status, json.loads(await answer.read())


async def metrics(client: ClientSession) -> str:
    """Ask for the metrics."""
    async with client.get("/metrics") as answer:
        return await answer.text()


async def until(ask: Callable[[ClientSession], Any], client: ClientSession, wanted: Any) -> None:
    """Ask until the answer is the wanted one."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if await ask(client) == wanted:
                return
            await asyncio.sleep(POLL_SECONDS)


def unready(*missing: str) -> tuple[int, Any]:
    """What /readyz answers when something is missing."""
    return 503, {"status": "unavailable", "missing": list(missing)}


def delete(settings: Settings) -> None:
    """Delete the topic, and return when it is gone."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    admin.delete_topics([settings.topic])[settings.topic].result(30)
    there = Topic(settings)
    wait_until(lambda: there.describe() is None, "the topic is gone")


def records(settings: Settings) -> int:
    """How many records the topic has, once a topic that is new has its leaders."""
    there, found = Topic(settings), list[int]()

    def has_leaders() -> bool:
        with suppress(JournalUnavailable):
            held = there.ranges(range(settings.topic_partitions))
            found.append(sum(one.end for one in held.values()))
        return bool(found)

    wait_until(has_leaders, "every partition has its leader")
    return found[0]


def execute(settings: Settings, statement: str, *values: object) -> None:
    """Change the ledger by hand."""
    with psycopg.connect(conninfo(settings, name="test", writes=True)) as connection:
        connection.execute(statement.encode(), values)


async def test_a_topic_made_anew_takes_nothing_until_it_is_the_ledgers(
    serve: Serve, adopted: Settings
) -> None:
    """From the look that finds it there is no 200 and no record; once mended, all is well again."""
    with capture_logs() as events:
        client = await served(serve, adopted)
        assert await post(client) == TAKEN
        assert await ready(client) == READY
        await asyncio.to_thread(delete, adopted)
        topic_id, _ = await asyncio.to_thread(Topic(adopted).ensure)
        await until(post, client, REFUSED)
        written = await asyncio.to_thread(records, adopted)
        for _ in range(20):
            assert await post(client) == REFUSED
        assert await asyncio.to_thread(records, adopted) == written
        await until(ready, client, unready(NOT_THE_LEDGERS))
        _, problem = await post(client, **PROBLEM)
        assert problem["type"] == "urn:ostatok:problem:mismatch"
        assert problem["detail"] == MISMATCH.detail
        page = await metrics(client)
        assert "ostatok_http_journal_matches 0.0" in page
        assert 'ostatok_http_webhooks_total{answer="failed"} 0.0' in page

        execute(adopted, "UPDATE applied_offset SET topic_id = %s", topic_id)
        await until(post, client, TAKEN)
        await until(ready, client, READY)
        assert "ostatok_http_journal_matches 1.0" in await metrics(client)
    found = [event for event in events if event["event"].startswith("journal_m")]
    assert [one["event"] for one in found[-2:]] == ["journal_mismatch", "journal_matches"]
    mismatch = found[-2]
    assert f"{adopted.topic} was made anew" in mismatch["reason"]
    assert "docs/recovery.md" in mismatch["hint"]
    reasons = [one["reason"] for one in found[:-1]]
    assert len(set(reasons)) == len(reasons), "each finding is logged once"


async def test_a_topic_that_is_gone_takes_nothing_when_it_comes_back(
    serve: Serve, adopted: Settings
) -> None:
    """Found gone once, it is refused without asking Kafka: no webhook slips into the next one."""
    client = await served(serve, adopted)
    assert await post(client) == TAKEN
    await asyncio.to_thread(delete, adopted)
    await until(post, client, REFUSED)
    await until(ready, client, unready("topic"))
    await asyncio.to_thread(Topic(adopted).ensure)
    await until(ready, client, unready(NOT_THE_LEDGERS))
    assert await post(client) == REFUSED
    assert await asyncio.to_thread(records, adopted) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE applied_offset SET topic_id = 'of-another-cluster'", "made anew"),
        ("DELETE FROM applied_offset WHERE partition = 11", "has 12 partitions"),
    ],
)
async def test_a_start_on_another_topic_takes_not_one_webhook(
    serve: Serve, adopted: Settings, change: str, said: str
) -> None:
    """The first finding is there before the first webhook is."""
    execute(adopted, change)
    with capture_logs() as events:
        client = await served(serve, adopted)
        assert await post(client) == REFUSED
        assert await ready(client) == unready(NOT_THE_LEDGERS)
    assert [said in one["reason"] for one in events if one["event"] == "journal_mismatch"] == [True]
    assert await asyncio.to_thread(records, adopted) == 0


async def test_without_a_ledger_webhooks_are_taken(serve: Serve, settings: Settings) -> None:
    """Postgres is away from the start: nothing was found, so nothing is refused."""
    nobody = SecretStr(f"postgresql://127.0.0.1:{free_port()}/ostatok")
    client = await served(serve, settings, database_url=nobody, database_timeout_seconds=0.5)
    assert await post(client) == TAKEN
    assert await ready(client) == unready("database")


async def test_before_migrate_webhooks_are_taken(serve: Serve, settings: Settings) -> None:
    """A ledger that knows no topic of the name says so in /readyz and nowhere else."""
    client = await served(serve, settings)
    assert await post(client) == TAKEN
    assert await ready(client) == unready("database")


@pytest.mark.parametrize("made_anew", [False, True])
async def test_a_ledger_that_goes_away_changes_no_finding(
    serve: Serve, adopted: Settings, *, made_anew: bool
) -> None:
    """Taken or refused, webhooks stay what they were."""
    if made_anew:
        execute(adopted, "UPDATE applied_offset SET topic_id = 'made anew'")
    before = REFUSED if made_anew else TAKEN
    with capture_logs() as events:
        client = await served(serve, adopted)
        assert await post(client) == before
        execute(adopted, "ALTER SCHEMA ostatok RENAME TO away")
        async with asyncio.timeout(SECONDS_MAX):
            while not any(one["event"] == "journal_unchecked" for one in events):
                assert await post(client) == before
                await asyncio.sleep(POLL_SECONDS)
        assert await post(client) == before


async def test_without_the_ledger_a_topic_made_anew_is_found(
    serve: Serve, adopted: Settings
) -> None:
    """The process knows which topic it was; a ledger that is away changes nothing in that."""
    client = await served(serve, adopted)
    assert await post(client) == TAKEN
    execute(adopted, "ALTER SCHEMA ostatok RENAME TO away")
    await asyncio.to_thread(delete, adopted)
    await asyncio.to_thread(Topic(adopted).ensure)
    await until(post, client, REFUSED)


async def test_a_topic_that_lost_its_tail_takes_nothing(serve: Serve, adopted: Settings) -> None:
    """New records would fill the hole below the ledger's offset, where nobody will read them."""
    with capture_logs() as events:
        client = await served(serve, adopted)
        execute(adopted, "UPDATE applied_offset SET next_offset = 5 WHERE partition = 3")
        await until(post, client, REFUSED)
        execute(adopted, "UPDATE applied_offset SET next_offset = 0 WHERE partition = 3")
        await until(post, client, TAKEN)
    (reason,) = [one["reason"] for one in events if one["event"] == "journal_mismatch"]
    assert reason.startswith("Partition 3 ")
    assert "holds offsets 0 to 0; the ledger would go on at 5" in reason


async def test_a_webhook_in_hand_gets_no_200_after_the_finding(
    serve: Serve, adopted: Settings
) -> None:
    """Its record may lie in the topic that is not the ledger's."""
    journal = RecordingJournal()
    journal.may_answer.clear()
    ports = {"view": Topic(adopted), **of_database(adopted)}
    client = await serve(journal, **ports, topic=adopted.topic)
    in_hand = asyncio.create_task(post(client))
    await asyncio.wait_for(journal.published.wait(), SECONDS_MAX)
    execute(adopted, "UPDATE applied_offset SET topic_id = 'another'")
    await until(ready, client, unready(NOT_THE_LEDGERS))
    journal.may_answer.set()
    assert await in_hand == REFUSED


class BrokenTopic(TheTopic):
    """Described by a client with a bug, and found to be another one the next time."""

    broken = True

    async def describe_async(self) -> tuple[str, int] | None:
        """Break, then be another topic."""
        if self.broken:
            self.broken = False
            raise ZeroDivisionError
        return "another", 12


async def test_a_bug_does_not_end_the_looking(serve: Serve) -> None:
    """What nobody thought of is logged, and the next look comes all the same."""
    with capture_logs() as events:
        client = await serve(ledger=EmptyLedger(), view=BrokenTopic())
        await until(post, client, REFUSED)
    assert [one["event"] for one in events][:2] == ["journal_look_failed", "journal_mismatch"]
