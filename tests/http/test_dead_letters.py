"""Dead letters over HTTP, on a real ledger: listed and shown, and nobody waits for it."""

import asyncio
import json
import threading
from datetime import timedelta

import psycopg
import pytest
from aiohttp import ClientSession
from psycopg.conninfo import make_conninfo
from support.operators import (
    DEAD_LETTERS,
    ME,
    PAID,
    VALUE,
    WRONG_KEY,
    StartOperators,
    get,
    letter,
    positions,
    post,
)
from support.payments import MOMENT, PARTITIONS, batch, body
from support.services import WAITING, Rows
from support.system import wait_until
from support.webhooks import JSON, WEBHOOK, RecordingJournal

from ostatok.errors import LedgerUnavailable
from ostatok.journal import rfc3339
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_http import letter_desk
from ostatok_http.desk import Desk


async def test_they_are_listed(operators: ClientSession) -> None:
    """The earliest first, chosen by reason, operation and time, each with its fields."""
    assert await positions(operators) == ["7:1", "7:2", "7:3"]
    assert await positions(operators, reason="IS NOT json") == ["7:2", "7:3"]
    (one,) = (await get(operators, operation=PAID["operation_id"].upper()))["dead_letters"]
    assert one == {
        "position": "7:1",
        "received_at": rfc3339(MOMENT + timedelta(minutes=1)),
        "operation_id": PAID["operation_id"],
        "reason": WRONG_KEY,
        "decision": None,
    }
    second, third = (rfc3339(MOMENT + timedelta(minutes=minute)) for minute in (2, 3))
    assert await positions(operators, **{"from": second, "to": third}) == ["7:2"]


async def test_undecided_ones_are_listed_unless_others_are_asked_for(
    operators: ClientSession,
) -> None:
    """One that was decided about is listed with who decided what, where and when."""
    await post(operators, "/7:1/redrive/")
    await post(operators, "/7:2/discard/", b'{"because": "a test"}')
    assert await positions(operators) == ["7:3"]
    assert await positions(operators, decided="all") == ["7:1", "7:2", "7:3"]
    redriven, discarded = (await get(operators, decided="true"))["dead_letters"]
    assert redriven["decision"].pop("at") < discarded["decision"].pop("at")
    by = ME["Ostatok-By"]
    assert redriven["decision"] == {"decision": "redriven", "by": by, "new_position": "7:42"}
    assert discarded["decision"] == {"decision": "discarded", "by": by, "because": "a test"}


async def test_pages_fit_together(operators: ClientSession, ledger: Ledger) -> None:
    """Each once, also when many came at the same time and one is decided about meanwhile."""
    same = [letter(9, "same", b"{", partition) for partition in range(PARTITIONS)]
    await ledger.apply(batch(dead=same, first=0))
    page = await get(operators, reason="same", limit="5")
    found = [one["position"] for one in page["dead_letters"]]
    await post(operators, f"/{found[-1]}/discard/", b'{"because": "a test"}')
    for _ in range(2):
        page = await get(operators, reason="same", limit="5", cursor=page["next"])
        found += [one["position"] for one in page["dead_letters"]]
    assert page["next"] is None
    assert found == [f"{partition}:9" for partition in range(PARTITIONS)]


async def test_one_is_shown_whole(operators: ClientSession) -> None:
    """With its record, what is no text in base64, and everything that was ever decided."""
    shown = await get(operators, "/7:1/")
    assert shown["record"]["value"] == VALUE.decode()
    assert (shown["reason"], shown["decisions"]) == (WRONG_KEY, [])
    for because in ("first", "second"):
        await post(operators, "/7:2/discard/?again=true", json.dumps({"because": because}).encode())
    shown = await get(operators, "/7:2/")
    assert shown["record"] == {
        "key": {"base64": "/w=="},
        "value": {"base64": "/3s="},
        "headers": [["source", "bank"]],
        "timestamp_ms": 1_777_000_000_000,
    }
    assert [one["because"] for one in shown["decisions"]] == ["first", "second"]
    assert shown["decision"] == shown["decisions"][-1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit: must be a number from 1 to 1000"),
        ("limit=1001", "limit: must be a number from 1 to 1000"),
        ("decided=yes", "decided: must be true or false or all"),
        ("operation=x", "operation: must be a UUID"),
        ("from=soon", "from: must be an ISO 8601 date"),
        ("reason=%00", "reason: must be 1 to 200 characters"),
        ("cursor=7", "cursor: must be a partition and an offset"),
        ("cursor=7:999", "cursor: is not the next of a page"),
        ("x=1", "x: is no parameter here"),
    ],
)
async def test_a_wrong_parameter_is_named(operators: ClientSession, query: str, named: str) -> None:
    """It is a 400, and says what would be right."""
    async with operators.get(f"{DEAD_LETTERS}/?{query}") as answer:
        assert answer.status == 400
        assert named in (await answer.json())["error"]


async def test_they_are_off_by_default(
    start_operators: StartOperators, journal: RecordingJournal
) -> None:
    """The addresses are like any that nobody knows, until a setting says otherwise."""
    operators = await start_operators(journal=journal, http_operators=False)
    for method, path in (("GET", "/"), ("GET", "/7:1/"), ("POST", "/7:1/redrive/")):
        async with operators.request(method, DEAD_LETTERS + path, headers=JSON | ME) as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "Not found"})
    assert journal.records == []


async def test_no_one_else_waits_for_operators(
    start_operators: StartOperators, database: Settings, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is slow to list holds up no webhook and no balance; past a limit it is 503."""
    monkeypatch.setattr(letter_desk, "IN_HAND_MAX", 3)
    operators = await start_operators()
    with psycopg.connect(conninfo(database, name="test")) as holder:
        holder.execute("LOCK TABLE dead_letter")
        listed = [asyncio.create_task(get(operators)) for _ in range(3)]
        await asyncio.to_thread(wait_until, lambda: len(rows(WAITING)) == 2, "two wait")
        async with asyncio.timeout(2):
            async with operators.get(DEAD_LETTERS) as answer:
                assert answer.status == 503
            async with operators.post(WEBHOOK, data=body(), headers=JSON) as answer:
                assert answer.status == 200
            async with operators.get(
                "/api/organizations/1234567890/balance/?at=2026-01-01"
            ) as answer:
                assert answer.status == 404
    assert all([len((await one)["dead_letters"]) == 3 for one in listed])


async def test_it_works_behind_pgbouncer(
    start_operators: StartOperators, journal: RecordingJournal, database: Settings
) -> None:
    """Where no session keeps what it was told, each transaction says which schema it means."""
    elsewhere = make_conninfo(database.database_conninfo, options="-c search_path=public")
    operators = await start_operators(
        journal=journal, database_pgbouncer=True, database_url=elsewhere
    )
    assert await positions(operators) == ["7:1", "7:2", "7:3"]
    assert (await post(operators, "/7:1/redrive/"))[0] == 200
    assert await positions(operators, decided="true") == ["7:1"]


async def test_what_hangs_keeps_its_place_and_nobody_waits_for_it() -> None:
    """Who asked is told in time; the place is free once the work has ended."""
    desk = Desk(at_once=1, in_hand_max=5, seconds=0.1)
    goes_on = threading.Event()
    for work in (goes_on.wait, lambda: True):
        with pytest.raises(LedgerUnavailable):
            await desk.do(work)
    goes_on.set()
    assert await desk.do(lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        await desk.do(lambda: 1 / 0)
