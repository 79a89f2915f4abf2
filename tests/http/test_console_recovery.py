"""The console's page about recovery: there whoever is away, with what was found and run."""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession
from support.payments import PARTITIONS
from support.roles import role_that_reads
from support.webhooks import EmptyLedger, Serve, TheTopic, of_database

from ostatok.errors import LedgerUnavailable
from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings, load
from ostatok.topic import Range
from ostatok_db.connection import conninfo
from ostatok_db.runs import COMMANDS, Command, Runs
from ostatok_http.console import recovery


async def page(client: ClientSession, language: str = "en") -> str:
    """Ask for the page; gives what it says."""
    async with client.get("/console/recovery/", headers={"Accept-Language": language}) as answer:
        assert answer.status == 200
        return unescape(await answer.text())


async def start(serve: Serve, database: Settings, **ports: Any) -> ClientSession:
    """Start a console on a ledger."""
    url = database.database_url
    given = {**of_database(database), "database_url": url, "http_serve": ALL_PARTS, **ports}
    return await serve(**given)


async def test_without_postgres_there_is_the_page(serve: Serve) -> None:
    """It says what can't be read, and neither that all is well nor that nothing was ever run."""
    nowhere = load(database_url="postgresql://127.0.0.1:1/none", database_timeout_seconds=0.5)
    client = await start(serve, nowhere, database_timeout_seconds=0.5)
    text = await page(client)
    assert 'What was run can\'t be read. <span lang="en">Postgres: ' in text
    assert "nobody can say whether all is well" in text
    for never in ("belong together", "audit agrees", "No recovery command", "<pre"):
        assert never not in text


class AnotherTopic(TheTopic):
    """One that was made anew."""

    async def describe_async(self) -> tuple[str, int] | None:
        """Be another."""
        return "another", PARTITIONS


async def test_a_finding_is_shown_with_its_hint(serve: Serve) -> None:
    """And with the commands, as they can be run; Postgres need not be there."""
    nowhere = load(database_url="postgresql://127.0.0.1:1/none", database_timeout_seconds=0.5)
    ports = {"ledger": EmptyLedger(), "view": AnotherTopic()}
    client = await start(serve, nowhere, database_timeout_seconds=0.5, **ports)
    text = await page(client)
    assert "was made anew (id another" in text
    assert "Restore the old topic; if it is lost, docs/recovery.md says how to go on" in text
    assert 'docs/recovery.md, <span lang="en">“The topic is lost”</span>' in text
    assert re.findall(r"<pre[^>]*>(.*?)</pre>", text) == [
        "ostatok topic restore <the folder of your copy>",
        *recovery.TOPIC_LOST.commands[1:],
    ]
    assert "After make run: .venv/bin/ostatok … --data .ostatok." in text
    russian = await page(client, "ru")
    assert "ostatok topic restore <папка вашей копии>" in russian
    assert "вебхуки не принимаются" in russian


@pytest.fixture
def planted(database: Settings) -> Iterator[Mapping[str, int]]:
    """Runs of a ledger: one of each command that ended, an audit that runs, and a lost reseed."""
    numbers: dict[str, int] = {}
    running = Runs.connect(database)
    for command in COMMANDS:
        if command == "audit":
            numbers[command] = begin(running, command)
            continue
        runs = Runs.connect(database)
        numbers[command] = begin(runs, command)
        if command != "reseed":
            runs.end(numbers[command], 1, {"wrong": 7, "kinds": {"balance": 7}})
        runs.close()
    yield numbers
    running.close()


def begin(runs: Runs, command: Command) -> int:
    """Begin a run of somebody's."""
    return runs.begin(command, {"inn": "1234567890"}, run_by="Дежурный", host="desk")


async def test_what_was_run_is_shown(
    serve: Serve, database: Settings, planted: Mapping[str, int]
) -> None:
    """Each command with its options, who ran it, and what came of it; and those without an end."""
    text = await page(await start(serve, database))
    table = text.partition("</table>")[0]
    rows = {
        command: re.sub(r"<[^>]+>", " ", row)
        for row in table.split("<tr>")
        for command in planted
        if f"ostatok {command} inn=1234567890<" in row
    }
    assert set(rows) == set(COMMANDS)
    for command in ("replay", "rebuild"):
        for said in ("Дежурный@desk", "exit 1", "wrong : 7", "balance"):
            assert said in rows[command]
    assert "running" in rows["audit"]
    assert "did not end" in rows["reseed"]
    assert "An audit is running" in text


async def test_runs_that_cannot_be_read_leave_the_rest(serve: Serve, database: Settings) -> None:
    """No table yet, or no right to it: an audit is advised, and topic and ledger are shown."""
    client = await start(serve, database)
    with psycopg.connect(conninfo(database, name="test"), autocommit=True) as owner:
        owner.execute("ALTER TABLE ostatok_service.operator_run RENAME TO away")
        text = await page(client)
        assert "What was run can't be read." in text
        assert "Run `ostatok migrate`." in text
        assert "Topic and ledger belong together." in text
        assert "Whether the last audit agreed is not known" in text
        assert ">ostatok audit</pre>" in text
        assert "No recovery command was run yet" not in text
        owner.execute("ALTER TABLE ostatok_service.away RENAME TO operator_run")
    assert "There was no audit yet" in await page(client)


async def test_a_role_without_the_right_sees_the_rest(serve: Serve, database: Settings) -> None:
    """One that may read the ledger and no more."""
    with role_that_reads(database) as reader:
        text = await page(await start(serve, reader))
    assert "What was run can't be read." in text
    assert "permission denied for schema ostatok_service" in text
    assert 'aria-labelledby="partitions"' in text


class EmptyTopic(TheTopic):
    """One that nothing was ever sent to."""

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Hold nothing."""
        return dict.fromkeys(partitions, Range(0, 0))


async def test_before_the_first_payment_it_says_how_to_have_some(
    serve: Serve, database: Settings
) -> None:
    """As the overview does, and the organizations: by a command that is there after `make run`."""
    client = await start(serve, database, view=EmptyTopic())
    assert "belong together. Records not applied: 0." in await page(client)
    for path in ("recovery/", "", "organizations/"):
        async with client.get(f"/console/{path}") as answer:
            text = await answer.text()
        assert re.search(r"; after make run:</p><pre[^>]*>\.venv/bin/ostatok simulate</pre>", text)


async def test_a_failed_audit_says_why(serve: Serve, database: Settings) -> None:
    """In its own words."""
    runs = Runs.connect(database)
    failed = LedgerUnavailable("Postgres: it is full.", hint="Make room.")
    runs.end(begin(runs, "audit"), 1, {"error": str(failed), "hint": failed.hint})
    runs.close()
    text = await page(await start(serve, database))
    assert '<p lang="en">Postgres: it is full. Make room.</p>' in text
