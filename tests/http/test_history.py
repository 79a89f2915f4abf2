"""Log, statement and balances of the past over HTTP, on a real ledger."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession
from support.model import INNS
from support.payments import MOMENT, PARTITIONS, batch, entry, payment
from support.webhooks import PROBLEM, Serve, of_database

from ostatok.errors import LedgerUnavailable
from ostatok.journal import Entry, partition_of, rfc3339
from ostatok.settings import Settings
from ostatok_db.history import PAGE_ENTRIES, History
from ostatok_db.ledger import Ledger, Replay
from ostatok_http.statement import COLUMNS

INN = "1234567890"
PARTITION = partition_of(INN, PARTITIONS)
MANY = 25
ORGANIZATION = f"/api/organizations/{INN}"


@pytest.fixture
async def entries(ledger: Ledger) -> list[Entry]:
    """Apply a payment a minute, at every second offset from 10 on."""
    made = [
        entry(payment(inn=INN, amount=Decimal(f"{n + 1}.10")), 10 + 2 * n, minutes=n)
        for n in range(MANY)
    ]
    await ledger.apply(batch(*made, first=0))
    return made


@pytest.fixture
async def client(serve: Serve, database: Settings, entries: list[Entry]) -> ClientSession:
    """Give a client of a service on that ledger."""
    return await served(serve, database)


async def served(serve: Serve, database: Settings) -> ClientSession:
    """Start the service on a ledger."""
    return await serve(**of_database(database), read_wait_seconds=0.2)


async def get(client: ClientSession, path: str, **parameters: str) -> Any:
    """Ask, and give the body with its numbers as they are written."""
    async with client.get(ORGANIZATION + path, params=parameters) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Ostatok-Applied"] == f"{PARTITION}:{10 + 2 * MANY - 1}"
        assert answer.headers["X-Request-ID"]
        return json.loads(await answer.text(), parse_float=str)


def minute(number: int) -> str:
    """A time as an address has it."""
    return rfc3339(MOMENT + timedelta(minutes=number))


def total(many: int) -> str:
    """The sum of the first so many payments."""
    return str(sum((Decimal(f"{n + 1}.10") for n in range(many)), Decimal("0.00")))


async def test_the_balance_at_a_time(client: ClientSession) -> None:
    """What came at that very time is in it; before the first payment it was nothing."""
    for at, many in ((-1, 0), (0, 1), (6, 7), (MANY, MANY)):
        found = await get(client, "/balance/", at=minute(at))
        assert found == {"inn": INN, "balance": total(many), "entry": many}


async def test_the_balance_at_a_position(client: ClientSession) -> None:
    """The receipt of a webhook gives the balance it made; a place between gives the one before."""
    for offset, many in ((0, 0), (10, 1), (11, 1), (12, 2), (10 + 2 * MANY - 2, MANY)):
        found = await get(client, "/balance/", position=f"{PARTITION}:{offset}")
        assert found == {"inn": INN, "balance": total(many), "entry": many}


async def test_a_position_not_applied_yet(client: ClientSession) -> None:
    """It is waited for, and then the ledger is behind; also when it would be an INN's first."""
    never = next(inn for inn in INNS if inn != INN)
    home = partition_of(never, PARTITIONS)
    for address, partition in ((ORGANIZATION, PARTITION), (f"/api/organizations/{never}", home)):
        parameters = {"position": f"{partition}:1000"}
        async with client.get(f"{address}/balance/", params=parameters) as answer:
            assert answer.status == 503
            assert await answer.json() == {"error": "Not applied yet"}
            assert answer.headers["Retry-After"] == "1"


async def test_a_position_after_a_replay(
    client: ClientSession, ledger: Ledger, entries: list[Entry]
) -> None:
    """The log is not in the order of its records any more: refused rather than wrong."""
    assert entries[0].offset == 10
    await ledger.apply(batch(entry(payment(inn=INN), 3)), Replay.FOR_GOOD)
    path = f"{ORGANIZATION}/balance/?position={PARTITION}:12"
    async with client.get(path) as answer:
        assert answer.status == 400
        assert "a replay added to this log" in await answer.text()


async def test_the_log_in_pages_either_way(client: ClientSession) -> None:
    """Every entry once, the newest first unless asked otherwise."""
    for order in ("newest", "oldest"):
        numbers: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = await get(client, "/log/", order=order, limit="7", **cursor)
            numbers += [one["entry"] for one in page["entries"]]
            if page["next"] is None:
                break
            assert len(page["entries"]) == 7
            cursor = {"cursor": page["next"]}
        assert sorted(numbers) == list(range(1, MANY + 1))
        assert numbers == sorted(numbers, reverse=order == "newest")


async def test_an_entry_of_the_log(client: ClientSession, entries: list[Entry]) -> None:
    """All that the ledger knows of it; money with two decimals, times in UTC."""
    page = await get(client, "/log/", limit="1")
    assert page["entries"] == [
        {
            "entry": MANY,
            "created_at": minute(MANY - 1),
            "operation_id": entries[-1].payment.operation_id,
            "amount": f"{MANY}.10",
            "previous_balance": total(MANY - 1),
            "new_balance": total(MANY),
            "document_number": "PAY-328",
            "document_date": "2024-04-27T21:00:00.000000Z",
            "received_at": minute(MANY - 1),
            "position": f"{PARTITION}:{10 + 2 * MANY - 2}",
        }
    ]


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_the_log_of_a_period(client: ClientSession, order: str) -> None:
    """Its first moment is in, its last is not; pages end where the period does."""
    numbers: list[int] = []
    period = {"from": minute(3), "to": minute(9), "order": order, "limit": "4"}
    page = await get(client, "/log/", **period)
    numbers += [one["entry"] for one in page["entries"]]
    page = await get(client, "/log/", **period, cursor=page["next"])
    numbers += [one["entry"] for one in page["entries"]]
    assert page["next"] is None
    assert sorted(numbers) == [4, 5, 6, 7, 8, 9]
    assert (await get(client, "/log/", **{"from": minute(99)}))["entries"] == []


async def test_a_statement(client: ClientSession) -> None:
    """Opening balance, entries, closing balance and totals add up."""
    found = await get(client, "/statement/", **{"from": minute(3), "to": minute(9)})
    entries = found.pop("entries")
    assert found == {
        "inn": INN,
        "from": minute(3),
        "to": minute(9),
        "opening_balance": total(3),
        "closing_balance": total(9),
        "totals": {"entries": 6, "amount": str(Decimal(total(9)) - Decimal(total(3)))},
    }
    assert [one["entry"] for one in entries] == [4, 5, 6, 7, 8, 9]
    assert entries[0]["previous_balance"] == total(3)
    assert entries[-1]["new_balance"] == total(9)
    everything = await get(client, "/statement/")
    assert (everything["opening_balance"], everything["closing_balance"]) == ("0.00", total(MANY))


@pytest.mark.parametrize("how", [{"format": "csv"}, {}])
async def test_a_statement_as_csv(client: ClientSession, how: dict[str, str]) -> None:
    """The same rows, by parameter or by Accept; the balances at its ends are headers."""
    headers = {} if how else {"Accept": "text/csv"}
    path = f"{ORGANIZATION}/statement/"
    parameters = {**how, "from": minute(3), "to": minute(9)}
    async with client.get(path, params=parameters, headers=headers) as answer:
        assert answer.content_type == "text/csv"
        assert answer.headers["Ostatok-Opening-Balance"] == total(3)
        assert answer.headers["Ostatok-Closing-Balance"] == total(9)
        assert f"statement-{INN}.csv" in answer.headers["Content-Disposition"]
        assert answer.headers["Server"] == "Ostatok"
        table = list(csv.DictReader(io.StringIO(await answer.text())))
    found = (await get(client, "/statement/", **{"from": minute(3), "to": minute(9)}))["entries"]
    assert table == [{name: str(one[name]) for name in COLUMNS} for one in found]


async def test_a_statement_of_many_pages(serve: Serve, database: Settings, ledger: Ledger) -> None:
    """Whole, over the edges of what is read at once."""
    many = 2 * PAGE_ENTRIES + 1
    await ledger.apply(batch(*(entry(payment(inn=INN), offset) for offset in range(many))))
    client = await served(serve, database)
    async with client.get(f"{ORGANIZATION}/statement/") as answer:
        found = json.loads(await answer.text())
    assert [one["entry"] for one in found["entries"]] == list(range(1, many + 1))


async def test_a_statement_that_breaks_off_is_seen_to(
    serve: Serve, database: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away in the middle: no client takes what it got for the whole."""
    many = 2 * PAGE_ENTRIES
    await ledger.apply(batch(*(entry(payment(inn=INN), offset) for offset in range(many))))
    client = await served(serve, database)
    whole = History.entries

    async def half(self: History, inn: str, first: int, last: int) -> Any:
        if first > 1:
            raise LedgerUnavailable
        return await whole(self, inn, first, last)

    monkeypatch.setattr(History, "entries", half)
    async with client.get(f"{ORGANIZATION}/statement/") as answer:
        assert answer.status == 200
        with pytest.raises(ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/balance/?at=yesterday", "at"),
        (f"/balance/?at=2024-04-27&position={PARTITION}:1", "position"),
        (f"/balance/?position={(PARTITION + 1) % PARTITIONS}:1", "position"),
        ("/balance/?position=x", "position"),
        ("/balance/?att=2024-04-27", "att"),
        ("/balance/?now", "now"),
        ("/log/?limit=1001", "limit"),
        ("/log/?order=random", "order"),
        ("/log/?cursor=-1", "cursor"),
        ("/log/?from=2024-04-28&to=2024-04-27", "to"),
        ("/statement/?format=pdf", "format"),
        ("/statement/?from=2024", "from"),
    ],
)
async def test_a_wrong_parameter_is_named(client: ClientSession, path: str, field: str) -> None:
    """In the short body too, and as a field of the problem."""
    async with client.get(ORGANIZATION + path) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith(f"Invalid parameters: {field}: ")
    async with client.get(ORGANIZATION + path, headers=PROBLEM) as answer:
        assert [one["field"] for one in (await answer.json())["errors"]] == [field]


@pytest.mark.parametrize("end", ["log/", "statement/", "balance/?at=2024-04-27", "log"])
async def test_who_never_paid_has_no_past(client: ClientSession, end: str) -> None:
    """The same 404 as for a balance, and for what is no INN."""
    for inn in ("7707083893", "12345"):
        async with client.get(f"/api/organizations/{inn}/{end}") as answer:
            assert answer.status == 404
            assert await answer.json() == {"error": "Organization not found"}
