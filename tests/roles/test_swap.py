"""The ledger made anew, or its topic: the roles go on with what takes its place."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from support.copies import backup, money, reseed, restore
from support.journal import INNS, apply_topic, filled, make_topic, webhook
from support.payments import document
from support.rebuilding import SECOND, rebuild
from support.roles import ROLES, as_part, as_role, give_password, with_roles
from support.services import Services

from ostatok.errors import LedgerError
from ostatok.settings import Settings
from ostatok.topic_removal import delete
from ostatok_db.connection import conninfo
from ostatok_db.migrate import migrate
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Wanted

REPORTS = "ostatok_reports"


@pytest.fixture
def roled(services: Services) -> Settings:
    """A topic with every kind of record, its ledger, and the roles of that."""
    settings = with_roles(filled(services, seed=11))
    migrate(settings)
    return settings


def balances(settings: Settings) -> list[tuple[object, ...]]:
    """What whoever connects by the settings reads."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        return connection.execute("SELECT inn, balance FROM organization ORDER BY inn").fetchall()


def goes_on(settings: Settings) -> None:
    """See that the stream's role applies another payment, and that the one of http reads it."""
    before = balances(as_part(settings, "http"))
    make_topic(settings, [webhook(document(payer_inn=INNS[0], amount=7))])
    stream = as_part(settings, "stream")
    asyncio.run(apply_topic(stream))
    assert balances(as_part(settings, "http")) != before
    assert audit(stream, lambda _: None).findings == []


def test_rights_go_with_a_swap_whatever_the_rebuild_knows(roled: Settings) -> None:
    """One whose settings name no role does not shut http out; nor who was let in by hand."""
    with psycopg.connect(conninfo(roled, name="test"), autocommit=True) as owner:
        for statement in (
            f"CREATE ROLE {REPORTS} LOGIN",
            f"GRANT USAGE ON SCHEMA ostatok TO {REPORTS}",
            f"GRANT SELECT (inn, balance) ON organization TO {REPORTS}",
            "CREATE VIEW ostatok.mine AS SELECT 1",
            f"GRANT SELECT ON ostatok.mine TO {REPORTS}",
        ):
            owner.execute(statement.encode())
        give_password(owner, REPORTS)
    without = roled.model_copy(update=dict.fromkeys(ROLES))
    try:
        assert rebuild(without, Wanted(swap=True)).swapped
        goes_on(roled)
        assert balances(as_role(roled, REPORTS)) == balances(roled)
    finally:
        with psycopg.connect(conninfo(roled, name="test"), autocommit=True) as owner:
            owner.execute(f"GRANT {REPORTS} TO CURRENT_USER".encode())
            owner.execute(f"DROP OWNED BY {REPORTS}".encode())
            owner.execute(f"DROP ROLE {REPORTS}".encode())


def test_the_second_ledger_is_closed_to_all_but_readers(roled: Settings) -> None:
    """While it is made beside the live one, http can change it no more than that."""
    rebuild(roled)
    second = as_part(roled, "http").model_copy(update={"database_schema": SECOND})
    assert balances(second) == balances(roled)
    with (
        psycopg.connect(conninfo(second, name="test")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE organization SET balance = 1")


@pytest.mark.parametrize("part", ["stream", "http"])
def test_only_the_owner_rebuilds(roled: Settings, part: str) -> None:
    """It makes schemas and drops the live one: no process may."""
    with pytest.raises(LedgerError, match="permission denied"):
        rebuild(as_part(roled, part), Wanted(swap=True))
    goes_on(roled)


def test_a_lost_topic_is_made_good_by_two_roles(roled: Settings, tmp_path: Path) -> None:
    """Copy, restore and reseed as the stream's role, the swap as the owner."""
    stream, paid = as_part(roled, "stream"), money(roled)
    backup(stream, tmp_path / "copy")
    make_topic(roled, [webhook(document(payer_inn=INNS[1]))])
    asyncio.run(apply_topic(stream))
    delete(stream)
    restore(stream, tmp_path / "copy")
    assert reseed(stream).written == 1
    assert rebuild(roled, Wanted(swap=True, new_topic=True)).swapped
    assert len(money(roled)[0]) == len(paid[0]) + 1
    goes_on(roled)
