"""The embedded Postgres: its data outlives stops, restarts and kills, and only we get in."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from ostatok.errors import LocalError
from ostatok.local.parts import is_alive
from ostatok.local.ports import free_port
from ostatok.local.postgres import EmbeddedPostgres


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """Give a running server on an empty folder."""
    server = EmbeddedPostgres(folder / "postgres", free_port())
    yield await server.start()
    await server.stop()


async def ask(server: EmbeddedPostgres, sql: str) -> str:
    """Run a statement as the owner; give the first field of its first row as text."""
    connection = await psycopg.AsyncConnection.connect(server.database_url, autocommit=True)
    async with connection:
        cursor = await connection.execute(sql.encode())
        row = await cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


async def test_what_was_committed_outlives_everything(postgres: EmbeddedPostgres) -> None:
    """A committed row is there after a restart, and after a kill -9 with a query under way."""
    await ask(postgres, "CREATE TABLE kept (n int)")
    await ask(postgres, "INSERT INTO kept VALUES (1)")
    await postgres.restart()
    await ask(postgres, "INSERT INTO kept VALUES (2)")
    busy = asyncio.create_task(ask(postgres, "SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    await postgres.kill()
    assert postgres.pid is None
    await postgres.start()
    assert await ask(postgres, "SELECT sum(n) FROM kept") == "3"
    with pytest.raises(psycopg.OperationalError):
        await busy


async def test_it_is_made_as_production_would_be(postgres: EmbeddedPostgres) -> None:
    """The owner is no superuser, a commit is on disk when answered, text sorts the same."""
    facts = {
        "SELECT current_setting('fsync')": "on",
        "SELECT current_setting('synchronous_commit')": "on",
        "SELECT current_setting('data_checksums')": "on",
        "SELECT current_setting('listen_addresses')": "127.0.0.1",
        "SELECT current_setting('server_encoding')": "UTF8",
        "SELECT datlocale FROM pg_database WHERE datname = current_database()": "C.UTF-8",
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user": "False",
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'ostatok'": "ostatok",
    }
    assert {sql: await ask(postgres, sql) for sql in facts} == facts


async def test_nobody_gets_in_without_the_password(postgres: EmbeddedPostgres) -> None:
    """Neither a wrong password nor the superuser's name opens it; ours is readable by us alone."""
    wrong = psycopg.conninfo.make_conninfo(postgres.database_url, password="wrong")
    superuser = psycopg.conninfo.make_conninfo(postgres.database_url, user="postgres")
    for conninfo in (wrong, superuser):
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(conninfo)
    mode = (postgres.folder / "password").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_server_left_by_an_earlier_run_is_ended(postgres: EmbeddedPostgres) -> None:
    """Another start on the folder ends the server that still runs there, and takes over."""
    pid = postgres.pid
    assert pid is not None
    second = EmbeddedPostgres(postgres.folder, free_port())
    await second.start()
    assert not is_alive(pid)
    assert await ask(second, "SELECT 1") == "1"
    await second.stop()


async def test_an_interrupted_first_start_is_made_good(folder: Path) -> None:
    """What an interrupted initdb left is thrown away; the next start makes a whole one."""
    half = folder / "postgres" / "pgdata.new"
    half.mkdir(parents=True)
    (folder / "postgres").chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    (folder / "postgres" / "password").write_text("of the interrupted one\n")
    server = await EmbeddedPostgres(folder / "postgres", free_port()).start()
    assert await ask(server, "SELECT 1") == "1"
    await server.stop()
    assert not half.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands Postgres to another user")
async def test_a_closed_folder_is_named_and_stays_closed(folder: Path) -> None:
    """As root, a folder that Postgres's user can't enter is named, and is not opened up for it."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "data" / "postgres", free_port())
    with pytest.raises(LocalError, match=f"may not enter {closed},"):
        await server.start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
