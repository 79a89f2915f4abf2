"""The roles of the embedded Postgres: each with a password of its own, in old folders too."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from ostatok.local import roles
from ostatok.local.ports import free_port
from ostatok.local.postgres import ROLES, EmbeddedPostgres


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """Give a running server as versions made it that knew the owner alone."""
    server = await EmbeddedPostgres(folder / "postgres", free_port()).start()
    for part in ("stream", "http"):
        (server.folder / f"password-{part}").unlink()
    await server.stop()
    yield await server.start()
    await server.stop()


async def who(url: str) -> tuple[str, bool, bool]:
    """Connect; who one is then, and whether he is more than he should be."""
    connection = await psycopg.AsyncConnection.connect(url)
    async with connection:
        cursor = await connection.execute(
            "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb, "
            "pg_has_role(oid, 'ostatok', 'MEMBER') FROM pg_roles WHERE rolname = current_user"
        )
        row = await cursor.fetchone()
        assert row is not None
        return row


async def test_each_part_gets_in_as_its_role(postgres: EmbeddedPostgres) -> None:
    """The two that are made can make nothing, and become nobody; another password opens none."""
    with pytest.raises(psycopg.OperationalError):
        await who(postgres.url_of("http"))
    await roles.make(postgres)
    await roles.make(postgres)
    assert await who(postgres.url_of("migrate")) == ("ostatok", True, True)
    for part in ("stream", "http"):
        assert await who(postgres.url_of(part)) == (ROLES[part], False, False)
    assert len({postgres.password_of(part) for part in ROLES}) == len(ROLES)
    mixed = psycopg.conninfo.make_conninfo(postgres.url_of("http"), user=ROLES["stream"])
    with pytest.raises(psycopg.OperationalError):
        await who(mixed)


async def test_their_passwords_are_for_us_alone(postgres: EmbeddedPostgres) -> None:
    """Beside the data, as the owner's."""
    await roles.make(postgres)
    files = sorted(postgres.folder.glob("password*"))
    assert [file.name for file in files] == ["password", "password-http", "password-stream"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_lost_password_is_a_new_one(postgres: EmbeddedPostgres) -> None:
    """The next start makes one up, and it opens."""
    await roles.make(postgres)
    before = postgres.password_of("http")
    await postgres.stop()
    (postgres.folder / "password-http").unlink()
    await postgres.start()
    await roles.make(postgres)
    assert postgres.password_of("http") != before
    assert (await who(postgres.url_of("http")))[0] == ROLES["http"]
