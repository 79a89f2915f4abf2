"""What the console's overview sees, and what it says when it can't see or sees something wrong."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from support.looking import AT, Frozen, Holding, Nothing, Stands, Waiting, live_of
from support.payments import PARTITIONS, TOPIC_ID
from support.webhooks import (
    EmptyLedger,
    NoRecords,
    RecordingJournal,
    Serve,
    TheTopic,
    connect,
    of_database,
)

from ostatok.errors import LedgerUnavailable
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings, load
from ostatok.topic import Range
from ostatok_db.batch import Outcome
from ostatok_db.browsing import Browser
from ostatok_db.pool import WritePool
from ostatok_http.app import create_app
from ostatok_http.console import app as console_app
from ostatok_http.console import live as live_module
from ostatok_http.console import overview
from ostatok_http.console.live import Live
from ostatok_http.console.looks import Look, Seen
from ostatok_http.console.organizations import Snapshots
from ostatok_http.console.overview import Shown
from ostatok_http.console.world import Reads
from ostatok_http.fill import Fill, Gauges
from ostatok_http.parts import Ports
from ostatok_http.progress import Progress

MISMATCH = "Topic and ledger do not fit together"
NO_PAYMENT = "No payment has come yet"
SECONDS_MAX = 10


async def start(serve: Serve, database: Settings, **ports: Any) -> ClientSession:
    """Start a console."""
    given = {**of_database(database), "database_url": database.database_url, **ports}
    if "ledger" in ports:
        ports["ledger"].pool = given["pool"]
    return await serve(http_serve=ALL_PARTS, **given)


async def page(client: ClientSession, path: str = "/") -> str:
    """Ask for a page."""
    async with client.get("/console" + path) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_a_topic_made_anew_is_the_problem_that_is_shown(
    serve: Serve, database: Settings
) -> None:
    """Nothing was lost quietly: an empty topic is not said to be the first day."""
    ledger, anew = Stands(*[5] * PARTITIONS), Holding(0, topic_id="another-id")
    client = await start(serve, database, ledger=ledger, view=anew)
    text = await page(client)
    assert MISMATCH in text
    assert "another-id" in text
    assert NO_PAYMENT not in text
    assert (await page(client, "/recovery/")).count(MISMATCH) == 1


async def test_a_topic_that_lost_its_tail_is_too(serve: Serve, database: Settings) -> None:
    """It is the ledger's, and ends before it."""
    ledger = Stands(*[5] * PARTITIONS)
    text = await page(await start(serve, database, ledger=ledger, view=Holding(3)))
    assert MISMATCH in text
    assert "holds offsets 0 to 3; the ledger would go on at 5" in text


async def test_a_ledger_without_a_topic_says_what_to_run(serve: Serve, database: Settings) -> None:
    """And not that no payment came; that is said of a topic that is known, and empty."""
    text = await page(await start(serve, database, ledger=Stands(), view=Holding(0)))
    assert "Run `ostatok migrate`." in text
    assert NO_PAYMENT not in text
    ledger = Stands(*[0] * PARTITIONS)
    text = await page(await start(serve, database, ledger=ledger, view=Holding(0)))
    assert NO_PAYMENT in text
    assert 'role="alert"' not in text


async def test_how_long_each_partition_waits_is_shown(serve: Serve, database: Settings) -> None:
    """The first record that is not applied; "unknown" when it can't be read, and not "none"."""
    ledger, topic = Stands(*[9] * (PARTITIONS - 1), 2), Holding(9)
    hours = Waiting(datetime.now(UTC) - timedelta(hours=3, seconds=1))
    text = await page(await start(serve, database, ledger=ledger, view=topic, records=hours))
    assert hours.asked == [{PARTITIONS - 1: (2, 9)}]
    assert text.count("<dd>3 h 0 min</dd>") == 1
    assert text.count('<td class="number">3 h 0 min</td>') == 1
    assert text.count('<td class="number">—</td>') == PARTITIONS - 1
    assert "Unknown" not in text
    text = await page(await start(serve, database, ledger=ledger, view=topic))
    assert text.count(">?</abbr></dd>") == 1
    assert text.count(">?</abbr></td>") == 1
    assert text.count('<td class="number">—</td>') == PARTITIONS - 1


@pytest.mark.parametrize(
    ("ledger", "topic"),
    [
        (Stands(50, topic_id="the next"), Holding(90)),
        (Stands(5), Holding(90)),
        (Stands(50), Holding(60)),
        (Stands(50, 50), Holding(90)),
    ],
    ids=["another topic", "a ledger of before", "a lost tail", "more partitions"],
)
async def test_what_went_back_is_not_compared(ledger: Stands, topic: Holding) -> None:
    """No rate is negative, and none is of two topics: the looks begin anew."""
    live = live_of(Stands(40), Holding(70), Nothing())
    await live._see()
    live._ledger = Stands(50)
    assert len((await live._see()).looks) == 2
    live._topic = Holding(80)
    assert len((await live._see()).looks) == 3
    live._ledger, live._topic = ledger, topic
    seen = await live._see()
    assert (len(seen.looks), seen.rates(), seen.rate_now(), seen.problem) == (1, [], None, None)
    assert len((await live._see()).looks) == 2


def look(seconds: float, records: int, outcomes: dict[Outcome, int] | None = None) -> Look:
    """Give a look at a ledger that has applied all."""
    stored, held = {0: (records, TOPIC_ID)}, {0: Range(0, records)}
    found = Look.of(AT + timedelta(seconds=seconds), seconds, stored, held)
    return found._replace(outcomes=outcomes)


def test_a_rate_of_now_is_by_time() -> None:
    """A long pause in which nobody could be asked counts for as long as it was."""
    seen = Seen((look(0, 0), look(2, 100, {}), look(12, 120, {})), (), (), None)
    assert seen.rate_now() == (10.0, 10.0)
    assert [rates for _, *rates in seen.rates()] == [[50.0, 50.0], [2.0, 2.0]]
    assert Seen((look(0, 7),), (), (), None).rate_now() is None
    many = tuple(look(2 * at, 8 * at * (at > 3), {}) for at in range(10))
    assert Seen(many, (), (), None).rate_now() == (4.0, 4.0)


def test_outcomes_are_of_the_time_that_is_said() -> None:
    """From the first look that is kept, whose own were counted since one that is not."""
    one = {Outcome.APPLIED: 1}
    seen = Seen((look(0, 5, one), look(2, 6, one), look(30, 7, one)), (), (), None)
    counts, seconds = seen.outcomes()
    assert (counts[Outcome.APPLIED], seconds) == (2, 30.0)
    assert Seen((), (), (), None).outcomes()[1] == 0.0


async def test_a_look_without_outcomes_is_kept_and_their_time_begins_anew() -> None:
    """Where topic and ledger stand is known; what was not counted is in no sum."""
    rows = Nothing()
    live = live_of(Stands(0), Holding(100), rows)
    await live._see()
    live._ledger = Stands(10)
    assert (await live._see()).outcomes()[0][Outcome.APPLIED] == 9
    live._ledger, rows.error = Stands(30), LedgerUnavailable("It is away.")
    seen = await live._see()
    assert (seen.problem, str(seen.unread), seen.looks[-1].applied) == (None, "It is away.", 30)
    assert seen.outcomes() == (dict.fromkeys(seen.outcomes()[0], 0), 0.0)
    live._ledger, rows.error = Stands(33), None
    seen = await live._see()
    counts, seconds = seen.outcomes()
    assert (counts[Outcome.APPLIED], counts[Outcome.DUPLICATE]) == (2, 1)
    assert seconds == seen.looks[-1].monotonic - seen.looks[-2].monotonic
    assert [len(one.partitions) for one in seen.looks] == [0, 0, 0, 1]


class Silent(Holding):
    """A topic whose brokers do not answer."""

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return await super().ranges_async(partitions)


class Speechless(Stands):
    """A ledger whose Postgres does not answer."""

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return await super().offsets()


@pytest.mark.parametrize(
    ("ledger", "topic", "who"),
    [(Stands(5), Silent(9), "Kafka"), (Speechless(5), Holding(9), "Postgres")],
    ids=["Kafka", "Postgres"],
)
async def test_who_does_not_answer_is_named(
    ledger: Stands, topic: Holding, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one, and not the other too."""
    monkeypatch.setattr(live_module, "ANSWER_SECONDS_MAX", 0.05)
    seen = await live_of(ledger, topic, Nothing())._see()
    assert str(seen.problem) == f"{who} did not answer in time."


def test_an_event_is_encoded_once_for_all_who_have_the_same() -> None:
    """It holds what is other than they have, and all for who has nothing."""
    seen = Seen((), (), (), None)
    first = Shown(1, seen, {"numbers": "1", "recent": "a"}, {})
    second = Shown(2, seen, {"numbers": "2", "recent": "a"}, {})
    assert first.event(None) == b'data: {"numbers": "1", "recent": "a"}\n\n'
    assert second.event(first) == b'data: {"numbers": "2"}\n\n'
    assert second.event(first) is second.event(first)
    assert second.event(None) == b'data: {"numbers": "2", "recent": "a"}\n\n'


async def test_who_does_not_read_is_cut_off(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else he would hold the connection, and all that was written for him."""
    made: list[Live] = []

    class Known(Live):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    event_bytes = 32 * 1024 * 1024  # More than two sockets hold.
    monkeypatch.setattr(console_app, "Live", Known)
    monkeypatch.setattr(overview, "WRITE_SECONDS_MAX", 0.2)
    monkeypatch.setattr(Shown, "event", lambda *_: bytes(event_bytes))
    reader, writer = await connect(await start(serve, database))
    writer.write(b"GET /console/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(SECONDS_MAX):
        assert b"200" in await reader.readline()
        while made[0]._watchers:  # noqa: ASYNC110  # aiohttp's handler tells nobody
            await asyncio.sleep(0.01)
        got = 0
        try:
            while chunk := await reader.read(1024 * 1024):
                got += len(chunk)
        except ConnectionResetError:
            pass
    assert got < event_bytes
    writer.close()


async def test_a_frozen_database_does_not_hold_up_the_end() -> None:
    """It may answer a cancellation only after 10 s: of those who ask it none waits as long."""
    asked = [Frozen(), Frozen(), Frozen()]
    live = live_of(asked[0], Holding(9), Nothing())
    snapshots = Snapshots(cast("Browser", asked[1]))
    fill = Fill(RecordingJournal(), asked[2], Gauges(load(), CollectorRegistry()))
    asking = [asyncio.create_task(live.now()), asyncio.create_task(snapshots.last())]
    await fill.__aenter__()
    for one in asked:
        await one.asked.wait()
    began = time.monotonic()
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(live.close(), snapshots.close(), fill.__aexit__())
    assert time.monotonic() - began < 2
    for one in asked:
        one.may_end.set()
    assert await asking[0] == Seen((), (), (), None)
    await asyncio.wait(asking)


async def test_the_drain_begins_before_the_console_lets_go(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the console's end takes is of the drain's time, and no other's."""
    told: list[str] = []

    async def close(_live: Live) -> None:
        told.append("console")

    monkeypatch.setattr(Live, "close", close)
    monkeypatch.setattr(Progress, "give_up", lambda _: told.append("drain"))
    given = of_database(database)
    ports = Ports(
        RecordingJournal(),
        TheTopic(),
        NoRecords(),
        EmptyLedger(),
        given["history"],
        Reads.make(database, given["pool"]),
        WritePool(database),
    )
    app = create_app(load(http_serve=ALL_PARTS, log_operations=False), ports)
    app.freeze()
    await app.shutdown()
    assert told == ["drain", "console"]
