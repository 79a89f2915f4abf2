"""What is kept of the operators' runs, and what a reader sees of them."""

from collections.abc import Iterator

import psycopg
import pytest
from support.runs import read_runs
from support.services import Rows

from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.runs import DOCUMENT_BYTES_MAX, Command, Runs


@pytest.fixture
def runs(database: Settings) -> Iterator[Runs]:
    """A command's connection to ``database``."""
    connected = Runs.connect(database)
    yield connected
    connected.close()


def begin(runs: Runs, command: Command = "audit", **arguments: object) -> int:
    """Begin a run of somebody's."""
    return runs.begin(command, arguments, run_by="Дежурный", host="desk")


async def test_a_run_is_under_way_until_it_ends(database: Settings, runs: Runs) -> None:
    """It says what was asked for and who asked; then what came of it."""
    number = begin(runs, "replay", inn="1234567890", dry_run=True)
    (run,) = await read_runs(database)
    assert (run.id, run.command, run.run_by, run.host) == (number, "replay", "Дежурный", "desk")
    assert run.arguments == {"inn": "1234567890", "dry_run": True}
    assert (run.ended_at, run.exit_status, run.result) == (None, None, None)
    assert (run.running, run.lost) == (True, False)
    runs.end(number, 130, {"finished": False})
    (run,) = await read_runs(database)
    assert run.ended_at is not None
    assert run.started_at < run.ended_at
    assert (run.exit_status, run.result) == (130, {"finished": False})
    assert (run.running, run.lost) == (False, False)


async def test_the_last_of_each_and_the_recent_ones(database: Settings, runs: Runs) -> None:
    """The latest first; of another topic and of another ledger of the topic there are none."""
    begin(runs, "audit")
    rebuilt = begin(runs, "rebuild")
    audited = begin(runs, "audit")
    for other in ({"topic": "other"}, {"database_schema": "other"}):
        elsewhere = Runs.connect(database.model_copy(update=other))
        begin(elsewhere, "rebuild")
        elsewhere.close()
    assert [run.id for run in await read_runs(database)] == [audited, rebuilt]
    assert [run.id for run in await read_runs(database, recent=2)] == [audited, rebuilt]
    assert len(await read_runs(database, recent=100)) == 3


def test_of_each_command_so_many_are_kept(database: Settings, runs: Runs, rows: Rows) -> None:
    """One that runs each hour does not push out one that ran last year; a thousand are kept."""
    rebuilt = begin(runs, "rebuild")
    first, second = begin(runs, "audit"), begin(runs, "audit")
    with psycopg.connect(conninfo(database, name="test")) as connection:
        connection.execute(
            "INSERT INTO ostatok_service.operator_run"
            " (topic, schema, command, arguments, run_by, host)"
            " SELECT topic, schema, command, arguments, run_by, host"
            " FROM ostatok_service.operator_run, generate_series(1, 997) WHERE id = %s",
            (first,),
        )
    kept = "SELECT count(*), min(id) FROM ostatok_service.operator_run WHERE command = 'audit'"
    begin(runs, "audit")
    assert rows(kept) == [(1_000, first)]
    begin(runs, "audit")
    assert rows(kept) == [(1_000, second)]
    assert rows("SELECT id FROM ostatok_service.operator_run WHERE command = 'rebuild'") == [
        (rebuilt,)
    ]
    # Its row is gone, and that is no reason for its command to fail.
    runs.end(first, 0, {})
    assert rows(kept) == [(1_000, second)]


async def test_a_row_has_a_limit(database: Settings, runs: Runs, rows: Rows) -> None:
    """What does not fit loses its end, and what Postgres can't hold its place: all can be read."""
    number = begin(runs, folder="\udcff\0" * 5_000, since=("7:1",) * 100_000, drop=True)
    runs.end(number, 1, {"sample": ["Ы" * 5_000] * 50, "error": "no\0", "wrong": 50})
    (run,) = await read_runs(database)
    assert run.arguments["drop"] is True
    assert set(run.arguments["folder"]) == {"?", "�"}
    assert set(run.arguments["since"]) == {"7:1"}
    assert run.result is not None
    assert dict(run.result) | {"sample": []} == {"sample": [], "error": "no�", "wrong": 50}
    assert run.result["sample"]
    sizes = rows(
        "SELECT octet_length(arguments::text), octet_length(result::text) "
        "FROM ostatok_service.operator_run"
    )
    # Postgres writes a blank behind each comma.
    assert all(size <= DOCUMENT_BYTES_MAX * 5 / 4 for size in sizes[0])


async def test_a_reader_without_the_table_says_what_to_do(database: Settings) -> None:
    """A service that was updated before `ostatok migrate` ran."""
    with psycopg.connect(conninfo(database, name="test")) as connection:
        connection.execute("DROP TABLE ostatok_service.operator_run")
    with pytest.raises(LedgerUnavailable) as raised:
        await read_runs(database)
    assert "ostatok migrate" in str(raised.value.hint)
