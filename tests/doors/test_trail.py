"""The audit trail: nothing is uncounted, and a flood of denials costs the same as a few."""

import re
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
from support.services import Rows

from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.pool import WritePool
from ostatok_db.trail import Trailed, TrailFilter, TrailReader, TrailSession, TrailStore
from ostatok_http.doors.trail import (
    DOOR_KINDS_MAX,
    KINDS_MAX,
    MINUTE_SECONDS,
    OTHERS,
    STRANGE_KINDS_MAX,
    UNWRITTEN_MAX,
    Trail,
)

ROWS_A_MINUTE_MAX = 2 * KINDS_MAX + 1


class Store:
    """Keeps rows, unless it is away."""

    def __init__(self) -> None:
        self.rows: list[Trailed] = []
        self.is_away = False

    async def add(self, rows: Sequence[Trailed]) -> None:
        """Keep them."""
        if self.is_away:
            raise LedgerUnavailable
        self.rows += rows

    @property
    def times(self) -> int:
        """How many denials they count."""
        return sum(row.times for row in self.rows)


class Clock:
    """Goes on when the test says so."""

    seconds = 1_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.seconds


@pytest.fixture
def store() -> Store:
    """Give where the rows are kept."""
    return Store()


@pytest.fixture
def clock() -> Clock:
    """Give the trail's clock."""
    return Clock()


@pytest.fixture
def trail(store: Store, clock: Clock) -> Trail:
    """Give a trail that writes when the test says so."""
    return Trail(store, clock)


async def test_the_first_of_a_kind_is_written_at_once_and_the_others_as_a_number(
    trail: Trail, store: Store, clock: Clock
) -> None:
    """Somebody who looks sees it within a second, and a minute later how many there were."""
    for number in range(10):
        trail.denied("balance", "", "203.0.113.7", "unknown token", f"request-{number}")
    await trail.write()
    (row,) = store.rows
    assert (row.kind, row.action, row.client, row.times) == ("denied", "balance", "203.0.113.7", 10)
    assert row.request_id == "request-0"
    trail.denied("balance", "", "203.0.113.7", "unknown token", "later")
    await trail.write()
    assert len(store.rows) == 1
    clock.seconds += MINUTE_SECONDS
    await trail.write()
    assert (store.times, len(store.rows), store.rows[1].request_id) == (11, 2, "later")


async def test_a_flood_is_counted_in_few_rows(trail: Trail, store: Store, clock: Clock) -> None:
    """A hundred thousand clients in a minute are as many rows as thirty, and all are counted."""
    for number in range(100_000):
        trail.denied("balance", "", f"client {number}", "unknown token", "x")
        if number % 1_000 == 0:
            await trail.write()
        assert len(trail._tallies) <= KINDS_MAX
    clock.seconds += MINUTE_SECONDS
    await trail.write()
    assert store.times == 100_000
    assert len(store.rows) <= ROWS_A_MINUTE_MAX
    assert store.rows[-1].action == OTHERS


async def test_a_flood_hides_no_others(trail: Trail, store: Store, clock: Clock) -> None:
    """Who fills one door's kinds, and all that strangers have, leaves places for those known."""
    for number in range(100):
        trail.denied("webhook", "", f"203.0.113.{number}", "unknown", "x")
    trail.denied("console", "", "198.51.100.1", "A wrong password for anna.", "x")
    for number in range(100):
        trail.denied(f"door {number}", "", "203.0.113.7", "unknown", "x")
    trail.denied("log", "anna", "198.51.100.1", "no right", "x")
    await trail.write()
    doors = [row.action for row in store.rows]
    assert doors.count("webhook") == DOOR_KINDS_MAX
    assert len(doors) == STRANGE_KINDS_MAX + 1
    assert {"console", "log"} <= set(doors)
    clock.seconds += MINUTE_SECONDS
    await trail.write()
    assert store.times == 202


async def test_one_household_is_one_kind(trail: Trail, store: Store, clock: Clock) -> None:
    """All addresses of an IPv6 network are one row, and what it says of them is true."""
    for number in range(1, 100):
        trail.denied("balance", "", f"2001:db8::{number:x}", "unknown token", "x")
        await trail.write()
    clock.seconds += MINUTE_SECONDS
    await trail.write()
    assert [(row.client, row.times) for row in store.rows] == [
        ("2001:db8::1", 1),
        ("2001:db8::/64", 98),
    ]


async def test_while_the_database_is_away_rows_wait_and_are_bounded(
    trail: Trail, store: Store, clock: Clock
) -> None:
    """Hours without it cost no memory, and afterwards every denial is counted."""
    store.is_away = True
    minutes = 2 * UNWRITTEN_MAX // KINDS_MAX
    for minute in range(minutes):
        for number in range(KINDS_MAX):
            trail.denied("log", f"token {minute} {number}", "", "no right", "x")
        await trail.write()
        clock.seconds += MINUTE_SECONDS
        await trail.write()
        assert len(trail._unwritten) <= UNWRITTEN_MAX
    store.is_away = False
    await trail.write()
    clock.seconds += MINUTE_SECONDS
    await trail.write()
    assert store.times == minutes * KINDS_MAX


async def test_what_can_not_be_written_down_is_not_done(trail: Trail, store: Store) -> None:
    """Who is about to do something is told."""
    store.is_away = True
    with pytest.raises(LedgerUnavailable):
        await trail.done("redrive", "anna", "203.0.113.7", "7:1", "x")
    store.is_away = False
    await trail.done("redrive", "anna", "203.0.113.7", "7:1", "x")
    assert [(row.kind, row.who, row.about) for row in store.rows] == [("done", "anna", "7:1")]


async def test_a_failure_is_written_in_spite_of_a_flood(trail: Trail, store: Store) -> None:
    """What an operator could not do is never one of the others."""
    for number in range(1_000):
        trail.denied("balance", "", f"client {number}", "unknown token", "x")
    trail.failed("redrive", "anna", "203.0.113.7", "7:1", "Kafka is away.", "x")
    await trail.write()
    assert [row.reason for row in store.rows if row.kind == "failed"] == ["Kafka is away."]


async def test_the_last_rows_are_written_at_the_end(trail: Trail, store: Store) -> None:
    """A process that ends has not forgotten who was denied a moment before."""
    async with trail:
        for number in range(50):
            trail.denied("balance", "", f"client {number}", "unknown token", "x")
    assert store.times == 50


HOSTILE = "'; DROP TABLE x; --\n<b>\x00\ud800\u202e"


async def test_rows_are_kept_and_found(database: Settings) -> None:
    """Each with all that was said of it, whatever that was, in the order of writing."""
    writes = WritePool(database)
    store = TrailStore(writes)
    await store.add([Trailed("done", "redrive", "token crm", "203.0.113.7", "7:1")])
    await store.add([Trailed("denied", "balance", HOSTILE, HOSTILE, reason="x" * 1_000, times=7)])
    reader = TrailReader(writes)
    last, first = await reader.page(TrailFilter(), 10)
    assert (first.who, first.about, first.times) == ("token crm", "7:1", 1)
    assert last.who == "'; DROP TABLE x; --�<b>�?�"
    assert (len(last.reason), last.times) == (200, 7)
    assert await reader.page(TrailFilter(), 10, before=last.id) == [first]
    for which in (
        TrailFilter(who="CRM"),
        TrailFilter(kind="done"),
        TrailFilter(action="redrive"),
        TrailFilter(until=last.last_at),
    ):
        assert await reader.page(which, 10) == [first]
    assert await reader.page(TrailFilter(since=last.last_at), 10) == [last]
    session = TrailSession.connect(database)
    assert session.find(TrailFilter(), 10) == [first, last]
    session.close()
    await writes.close()


@pytest.mark.parametrize("change", ["UPDATE {} SET who = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_trail_is_only_added_to(database: Settings, change: str) -> None:
    """Not even its owner changes a row by mistake."""
    with (
        psycopg.connect(conninfo(database, name="test")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(change.replace("{}", "ostatok_service.trail").encode())


def test_its_owner_can_prune_it(database: Settings, rows: Rows) -> None:
    """By what docs/operations.md says, which takes away what is old and nothing else."""
    session = TrailSession.connect(database)
    session.add(Trailed("done", "redrive", "token crm", "203.0.113.7", "7:1"))
    session.close()
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    (prune,) = re.findall(
        r"```sql\n(BEGIN;\nALTER TABLE ostatok_service.trail .*?)```", text, re.DOTALL
    )
    for age, left in ((prune, 1), (prune.replace("1 year", "0 s"), 0)):
        with psycopg.connect(conninfo(database, name="test"), autocommit=True) as owner:
            owner.execute(age.encode())
        assert rows("SELECT count(*) FROM ostatok_service.trail") == [(left,)]
    test_the_trail_is_only_added_to(database, "DELETE FROM {}")
