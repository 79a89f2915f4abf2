"""Whatever is planted in the ledger, the audit finds it, names it, and finds nothing else."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql
from support.journal import INNS, apply_topic, filled, home_of, make_topic, webhook
from support.payments import document
from support.planted import INN, LAST, PLANTED
from support.services import Services
from support.system import System

from ostatok.errors import LedgerCorrupt, OstatokError
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_stream import digest
from ostatok_stream.audit import Report
from ostatok_stream.audit import audit as run
from ostatok_stream.comparing import Kind


def audit(settings: Settings) -> Report:
    """Audit without a word."""
    return run(settings, lambda _: None)


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=1)


def plant(settings: Settings, *statements: str) -> list[tuple[object, ...]]:
    """Change the ledger as its owner could; gives what the last statement gives."""
    tables = ("payment", "balance_log", "duplicate")
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        for table in tables:
            for change in (
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER"),
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS balance_log_adds_up"),
            ):
                connection.execute(change.format(sql.Identifier(table)))
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def kinds(report: Report) -> set[Kind]:
    """What kinds of things are wrong."""
    return {one.kind for one in report.findings}


def test_a_ledger_that_is_right(settings: Settings) -> None:
    """Every kind of record and of outcome, and nothing wrong with any."""
    report = audit(settings)
    assert report.findings == []
    assert (report.wrong, report.cut) == (0, {})
    assert report.records == sum(report.offsets.values()) > 200
    assert report.organizations == len(INNS)
    assert report.entries == sum(
        row[0] for row in plant(settings, "SELECT count(*) FROM payment") if isinstance(row[0], int)
    )


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(settings: Settings, what: str) -> None:
    """What is wrong, and nothing that is not."""
    statements, expected = PLANTED[what]
    plant(settings, *statements)
    report = audit(settings)
    assert kinds(report) == expected, report.findings


def test_an_offset_that_was_skipped(settings: Settings) -> None:
    """The ledger says it went past a record, and has no outcome of it."""
    make_topic(settings, [webhook(document(payer_inn=INN))])
    plant(
        settings,
        f"UPDATE applied_offset SET next_offset = next_offset + 1 WHERE partition = {home_of(INN)}",
    )
    report = audit(settings)
    assert [one.kind for one in report.findings] == [Kind.NO_OUTCOME]
    assert report.findings[0].where.startswith(f"{home_of(INN)}:")


def test_an_emptied_dead_letter_is_lawful(settings: Settings) -> None:
    """As docs/data.md lets an operator do: its place and reason are still compared."""
    emptied = (
        "UPDATE dead_letter SET value = NULL, key = NULL, header_values = '{}', header_names = '{}'"
    )
    plant(settings, emptied)
    assert audit(settings).findings == []
    plant(settings, "UPDATE dead_letter SET reason = 'none'")
    assert kinds(audit(settings)) == {Kind.DIFFERS}


def test_no_false_alarm_on_a_live_system(services: Services, tmp_path: Path) -> None:
    """Webhooks come in and are applied while it looks, again and again."""
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        system.start_stream()
        url = f"http://127.0.0.1:{system.settings.http_port}"
        bank = system.start(
            *("simulate", "--url", url, "--webhooks", "6000", "--organizations", "50"), log="bank"
        )
        looked = 0
        while bank.poll() is None:
            report = audit(system.settings)
            assert report.findings == []
            looked += 1
        assert bank.returncode == 0
        assert looked > 1


def test_the_digest_that_was_kept_holds(settings: Settings, tmp_path: Path) -> None:
    """After more payments too; and not once the chain of before is another."""
    kept = tmp_path / "digest.json"
    kept.write_bytes(msgspec.json.encode(digest.make(settings)))
    make_topic(settings, [webhook(document(payer_inn=inn)) for inn in (INN, "7728168971")])
    asyncio.run(apply_topic(settings))
    assert "chains are what they were" in digest.check(settings, kept)
    # Behind the offsets that it holds for, anything may be.
    plant(settings, f"UPDATE balance_log SET link = sha256(link) WHERE {LAST}")
    assert "chains are what they were" in digest.check(settings, kept)
    # As by somebody who edits an entry and makes all links behind it anew.
    plant(settings, f"UPDATE balance_log SET link = sha256(link) WHERE inn = '{INN}'")
    with pytest.raises(LedgerCorrupt, match="not what it was"):
        digest.check(settings, kept)


def test_records_cut_before_they_were_applied(settings: Settings) -> None:
    """They never can be: that is no agreement, whatever is left."""
    home = home_of(INN)
    make_topic(settings, [webhook(document(payer_inn=INN)) for _ in range(3)])
    stands = audit(settings).offsets[home]
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    cut = TopicPartition(settings.topic, home, stands + 2)
    admin.delete_records([cut])[cut].result(30)
    report = audit(settings)
    assert Kind.TOPIC in kinds(report)
    assert f"records {stands} to {stands + 2} were cut" in report.findings[0].what


def test_what_is_no_digest_of_this_ledger(
    settings: Settings, services: Services, tmp_path: Path
) -> None:
    """A file that is something else, of another topic, of a later time: each is said so."""
    kept = tmp_path / "digest.json"
    kept.write_text("{}")
    with pytest.raises(OstatokError, match="is no digest"):
        digest.check(settings, kept)
    other = services.new_settings()
    make_topic(other, [])
    kept.write_bytes(msgspec.json.encode(digest.make(other)))
    with pytest.raises(OstatokError, match="of another topic"):
        digest.check(settings, kept)
    said = json.loads(msgspec.json.encode(digest.make(settings)))
    said["offsets"]["0"] += 1
    kept.write_text(json.dumps(said))
    with pytest.raises(OstatokError, match="of a later time"):
        digest.check(settings, kept)


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def ostatok(settings: Settings, tmp_path: Path) -> Iterator[Run]:
    """Run a command on that system; gives its exit status and all it said."""
    with System(settings, tmp_path) as system:

        def run_it(*command: str) -> tuple[int, str]:
            said = tmp_path / "said"
            said.write_bytes(b"")
            process = system.start(*command, log="said")
            process.wait(60)
            return process.returncode, said.read_text(encoding="utf-8")

        yield run_it


def test_the_command(settings: Settings, ostatok: Run, tmp_path: Path) -> None:
    """0 and a sentence when all is right; 1, the rows and a hint when not; the same as JSON."""
    status, said = ostatok("audit")
    assert (status, said.splitlines()[-1]) == (0, "Everything agrees.")
    kept = tmp_path / "digest.json"
    _, digest_text = ostatok("audit", "--digest")
    kept.write_text(digest_text)
    assert ostatok("audit", "--against", str(kept))[0] == 0
    plant(settings, *PLANTED["a balance changed"][0])
    status, said = ostatok("audit")
    assert status == 1
    assert f"balance: {INN}: the balance is" in said
    assert "ostatok: 1 thing is wrong." in said
    status, said = ostatok("audit", "--json")
    assert status == 1
    report = json.loads(said[said.index("{") :])
    assert (report["wrong"], report["findings"][0]["where"]) == (1, INN)
    assert "Traceback" not in said
