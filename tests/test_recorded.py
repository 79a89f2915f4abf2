"""Each command of recovery leaves a row, however it ends, and is the same without one."""

import getpass
import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from support.journal import INNS, filled, home_of
from support.planted import INN
from support.roles import role_that_reads
from support.runs import last_runs, start
from support.services import WAITING, Services
from support.system import READY_SECONDS_MAX, kill, wait_until

from ostatok.commands.runs import TABLE, recorded
from ostatok.errors import OstatokError
from ostatok.local.ports import free_port
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.runs import COMMANDS

NO_ROW = f"This run leaves no row in {TABLE}: "


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=6)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, list[str]]:
    """Wait for its end: its status, what it said, and what it complained of about its row."""
    try:
        out, err = process.communicate(timeout=READY_SECONDS_MAX)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert b"Traceback" not in err
    lines = err.decode().splitlines()
    return process.returncode, out.decode(), [line for line in lines if TABLE in line]


def execute(settings: Settings, *statements: str) -> list[tuple[Any, ...]]:
    """Do something to the database; gives what the last statement gives."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_each_command_leaves_its_row(settings: Settings, tmp_path: Path) -> None:
    """What was asked for, who asked where, and what came of it."""
    copy, kept = str(tmp_path / "copy"), tmp_path / "digest.json"

    def run(*command: str) -> str:
        status, said, complaints = ended(start(settings, *command))
        assert (status, complaints) == (0, [])
        return said

    run("audit")
    kept.write_text(run("audit", "--digest"), encoding="utf-8")
    run("audit", "--against", str(kept))
    here = f"{home_of(INN)}:0"
    run("replay", "--inn", INN, "--dry-run", "--from", "0:0", "--from", here)
    run("rebuild")
    run("rebuild", "--drop")
    run("topic", "backup", copy)
    run("topic", "delete", settings.topic)
    run("topic", "restore", copy)
    run("reseed", "--dry-run")
    runs = last_runs(settings)
    assert list(runs) == [
        *("reseed", "topic restore", "topic delete", "topic backup", "rebuild --drop", "rebuild"),
        *("replay", "audit --against", "audit --digest", "audit"),
    ]
    assert set(runs) == set(COMMANDS)
    for one in runs.values():
        assert (one.run_by, one.host) == (getpass.getuser(), platform.node())
        assert (one.exit_status, one.running, one.lost) == (0, False, False)
    assert runs["audit"].arguments == {}
    assert runs["audit --against"].arguments == {"against": str(kept)}
    assert runs["replay"].arguments == {"from": ["0:0", here], "inn": INN, "dry_run": True}
    assert runs["topic restore"].arguments == {"folder": copy}
    assert runs["topic delete"].arguments == {"name": settings.topic}
    ((records, payments, repeats, dead),) = execute(
        settings,
        "SELECT (SELECT sum(next_offset) FROM applied_offset)::integer, "
        "(SELECT count(*) FROM payment), (SELECT count(*) FROM duplicate), "
        "(SELECT count(*) FROM dead_letter)",
    )
    nothing = {"wrong": 0, "kinds": {}, "sample": []}
    assert runs["audit"].result == {
        "records": records,
        "organizations": len(INNS),
        "entries": payments,
        "cut_partitions": 0,
        **nothing,
    }
    replayed = dict(runs["replay"].result or {})
    assert (replayed | {"outcomes": {}}) == {"outcomes": {}, "finished": True, **nothing}
    assert list(replayed["outcomes"]) == ["seen"]
    assert runs["rebuild"].result == {
        "records": records,
        "differences": 0,
        "finished": True,
        "swapped": False,
        "before_left": False,
        "kinds": {},
        "sample": [],
    }
    assert runs["topic backup"].result == {"records": records, "moved": False}
    assert runs["topic restore"].result == {"records": records, "moved": False}
    assert runs["reseed"].result == {
        "held": payments + repeats,
        "written": 0,
        "repeats": repeats,
        "dead": dead,
    }


def test_what_is_wrong_is_in_the_row(settings: Settings) -> None:
    """How much, of what kind, some of it, and the sentence that the command ended with."""
    execute(settings, f"UPDATE organization SET balance = balance + 1 WHERE inn = '{INN}'")
    audit, rebuild = start(settings, "audit"), start(settings, "rebuild")
    refused = start(settings, "replay", "--from", "7:1000000")
    for process in (audit, rebuild, refused):
        assert ended(process)[0] == 1
    runs = last_runs(settings)
    assert {run.exit_status for run in runs.values()} == {1}
    audited, rebuilt, replayed = (
        runs[name].result or {} for name in ("audit", "rebuild", "replay")
    )
    assert (audited["wrong"], audited["kinds"]) == (1, {"balance": 1})
    assert audited["sample"][0].startswith(f"balance: {INN}: the balance is")
    assert audited["error"] == "1 thing is wrong."
    assert (rebuilt["differences"], len(rebuilt["sample"]), rebuilt["swapped"]) == (1, 1, False)
    assert rebuilt["error"] == "The live ledger is not what the journal makes."
    assert rebuilt["hint"].startswith("`ostatok rebuild --swap`")
    assert replayed["error"] == "Nothing that is applied lies in that range."
    assert ended(start(settings, "audit", "--json"))[0] == 1
    run = last_runs(settings)["audit"]
    assert (run.exit_status, run.arguments, (run.result or {})["wrong"]) == (1, {"json": True}, 1)


@contextmanager
def held_up(settings: Settings, command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the middle of its work: it waits for a lock until the end of the block."""
    with psycopg.connect(conninfo(settings, name="test")) as holder:
        holder.execute("LOCK TABLE payment")
        process = start(settings, command)
        try:
            wait_until(lambda: bool(execute(settings, WAITING)), "it waits for the lock")
            run = last_runs(settings)[command]
            assert (run.running, run.lost) == (True, False)
            yield process
        finally:
            if sys.exc_info()[0] is not None:
                process.kill()


def test_ctrl_c_is_in_the_row(settings: Settings) -> None:
    """130, and how far it came, if it says so."""
    with held_up(settings, "audit") as process:
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "", [])
    run = last_runs(settings)["audit"]
    assert (run.exit_status, run.result) == (130, {})
    with held_up(settings, "rebuild") as process:
        process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    run = last_runs(settings)["rebuild"]
    assert (run.exit_status, (run.result or {})["finished"]) == (130, False)


def test_one_that_was_killed_is_lost(settings: Settings) -> None:
    """Not under way for ever."""
    with held_up(settings, "audit") as process:
        kill(process)
        wait_until(lambda: last_runs(settings)["audit"].lost, "it is seen to be lost", 10)
        ended(process)
    run = last_runs(settings)["audit"]
    assert (run.ended_at, run.exit_status, run.running) == (None, None, False)


def test_one_that_lost_its_connection_ends_in_its_row(settings: Settings) -> None:
    """Whoever ended the idle session that shows that it is under way."""
    with held_up(settings, "audit") as process:
        execute(
            settings,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'ostatok runs' AND datname = current_database()",
        )
        assert last_runs(settings)["audit"].lost
    status, said, complaints = ended(process)
    assert (status, said.splitlines()[-1], complaints) == (0, "Everything agrees.", [])
    run = last_runs(settings)["audit"]
    assert (run.exit_status, run.lost) == (0, False)


def with_database(settings: Settings, url: str) -> Settings:
    """The same on another database."""
    return settings.model_copy(update={"database_url": SecretStr(url)})


def test_without_a_row_all_else_is_the_same(settings: Settings) -> None:
    """No right, no table: one line says so, and the rest is the same to the byte."""
    status, said, complaints = ended(start(settings, "audit", "--json"))
    assert (status, json.loads(said)["wrong"], complaints) == (0, 0, [])
    with role_that_reads(settings) as reader:
        no_right = f"{NO_ROW}Postgres: permission denied for schema ostatok_service"
        assert ended(start(reader, "audit", "--json")) == (0, said, [no_right])
    execute(settings, "DROP TABLE ostatok_service.operator_run")
    no_table = f"{NO_ROW}Its table is not there yet; `ostatok migrate` makes it."
    assert ended(start(settings, "audit", "--json")) == (0, said, [no_table])


def test_without_a_database_a_copy_is_made(settings: Settings, tmp_path: Path) -> None:
    """It needs none; and one that goes away while the command runs does not end it."""
    away = with_database(settings, f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    status, said, complaints = ended(start(away, "topic", "backup", str(tmp_path / "copy")))
    assert status == 0
    assert "records written to" in said
    (complaint,) = complaints
    assert complaint.startswith(f"{NO_ROW}Postgres: connection")


def test_an_end_that_cannot_be_noted_changes_nothing(settings: Settings) -> None:
    """The command says so in a line, and ends as it would have."""
    with held_up(settings, "audit") as process:
        execute(settings, "DROP TABLE ostatok_service.operator_run")
    status, said, complaints = ended(process)
    assert (status, said.splitlines()[-1]) == (0, "Everything agrees.")
    no_table = "Its table is not there yet; `ostatok migrate` makes it."
    assert complaints == [f"The end of this run is not in {TABLE}: {no_table}"]


@pytest.mark.parametrize(
    ("raised", "status", "result"),
    [
        (ValueError("1234567890"), 1, {"error": "ValueError: see what the command printed."}),
        (OstatokError("A sentence."), 1, {"error": "A sentence."}),
        (OstatokError("A sentence.", hint="Do it."), 1, {"error": "A sentence.", "hint": "Do it."}),
        (KeyboardInterrupt(), 130, {}),
        (SystemExit(), 0, {}),
        (SystemExit(3), 3, {}),
        (SystemExit("a text"), 1, {}),
    ],
)
def test_whatever_ends_a_command_is_in_its_row(
    database: Settings, raised: BaseException, status: int, result: dict[str, Any]
) -> None:
    """Its exit status; of an error that nobody foresaw no text, which may hold anything."""

    @click.command()
    def ends() -> None:
        with recorded(database, "audit") as found:
            found["wrong"] = 7
            raise raised

    with suppress(type(raised), click.Abort):
        CliRunner().invoke(ends, catch_exceptions=False, standalone_mode=False)
    run = last_runs(database)["audit"]
    assert (run.exit_status, run.result) == (status, {"wrong": 7, **result})
