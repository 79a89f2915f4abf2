"""What http does to let people in, with the rights of its role and with no other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import closing

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from support.roles import Ask, as_part

from ostatok.settings import Settings
from ostatok_db import logins as logins_module
from ostatok_db.connection import conninfo
from ostatok_db.logins import Failures, Logins, Tally
from ostatok_db.pool import WritePool
from ostatok_db.tokens import TokenStore
from ostatok_db.trail import TrailFilter, TrailReader

TOKEN = (
    "INSERT INTO ostatok_service.token (id, name, hash, scopes, created_by) "
    "VALUES ('abc', 'shop', sha256('x'), '{balance:read}', 'me')"
)
USER = (
    "INSERT INTO ostatok_service.console_user (name, role, password_hash, created_by) "
    "VALUES ('anna', 'viewer', '$argon2id$1', 'me')"
)


@pytest.fixture
async def pool(roled: Settings) -> AsyncIterator[WritePool]:
    """The connections by which http writes, as its role; and a token and a user, the owner's."""
    with psycopg.connect(conninfo(roled, name="test")) as owner:
        owner.execute(TOKEN)
        owner.execute(USER)
    made = WritePool(as_part(roled, "http"))
    await made.open()
    yield made
    await made.close()


async def test_who_logs_in_has_a_session(pool: WritePool, roled: Settings) -> None:
    """From the password to the log-out everywhere, every statement there is."""
    logins = Logins(roled, pool)
    account = await logins.account("anna")
    assert account is not None
    await logins.replace_hash(account, "$argon2id$2")
    account = await logins.account("anna")
    assert account is not None
    for number, instead in ((1, None), (2, bytes([1] * 32))):
        session = bytes([number] * 32)
        assert await logins.begin(account, session, client="::1", browser="", instead=instead)
        with psycopg.connect(conninfo(roled, name="test")) as owner:
            owner.execute(
                "UPDATE ostatok_service.console_session SET seen_at = now() - '5m'::interval"
            )
        found = await logins.find(session)
        assert found is not None
    assert len(await logins.sessions(account.id, session)) == 1
    await logins.end(session)
    await logins.end_all(account.id)
    assert await logins.find(session) is None


async def test_guesses_are_counted(pool: WritePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, taken back, forgotten, and dropped when they are old."""
    monkeypatch.setattr(logins_module, "DROP_EACH", 1)
    failures, keys = Failures(pool), [bytes(32)]
    for _ in range(2):
        await failures.count(keys, lambda tallies: dict.fromkeys(tallies, 0.0))
    await failures.take_back(keys)
    counted = []

    def judge(tallies: Mapping[bytes, Tally]) -> Mapping[bytes, float]:
        counted.append(tallies[keys[0]].failures)
        return dict.fromkeys(tallies, 0.0)

    await failures.count(keys, judge)
    assert counted == [1]
    await failures.forget(keys)


async def test_tokens_are_known_and_their_use_is_noted(pool: WritePool, roled: Settings) -> None:
    """And with that a token is all that it was: http makes none, and revives none."""
    store = TokenStore(pool)
    loaded = await store.load("")
    assert loaded.tokens is not None
    await store.note_use({"abc": 1_777_000_000.0})
    with closing(psycopg.connect(conninfo(roled, name="test"))) as owner:
        used = "SELECT count(last_used_at) FROM ostatok_service.token"
        assert owner.execute(used).fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        TOKEN,
        USER,
        "UPDATE ostatok_service.token SET revoked_at = NULL",
        "UPDATE ostatok_service.token SET scopes = '{operator}'",
        "UPDATE ostatok_service.token SET hash = sha256('mine')",
        "UPDATE ostatok_service.console_user SET role = 'operator'",
        "UPDATE ostatok_service.console_user SET disabled_at = NULL",
        "UPDATE ostatok_service.console_session SET user_id = 1",
        "DELETE FROM ostatok_service.trail",
    ],
)
def test_nobody_is_let_in_by_http(ask: Ask, statement: str) -> None:
    """Who may do what is for the owner to say, by the commands."""
    with pytest.raises(InsufficientPrivilege, match="permission denied"):
        ask("http", statement)


async def test_the_trail_can_be_read(pool: WritePool) -> None:
    """The console shows it."""
    assert await TrailReader(pool).page(TrailFilter(), 10) == []
