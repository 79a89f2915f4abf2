"""Replay: what has its outcome is left alone, what has none gets it, beside a running system."""

import asyncio
import json
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from support.journal import INNS, apply_topic, filled, home_of, make_topic, webhook
from support.payments import MOMENT, document
from support.services import Services, dump
from support.system import System

from ostatok.errors import OstatokError
from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_db.connection import conninfo
from ostatok_stream import digest
from ostatok_stream.audit import audit
from ostatok_stream.comparing import Kind
from ostatok_stream.replay import Replayed, Wanted
from ostatok_stream.replay import replay as run

INN = INNS[0]
HOME = home_of(INN)


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=2)


def replay(settings: Settings, wanted: Wanted | None = None) -> Replayed:
    """Replay without a word."""
    return asyncio.run(run(settings, wanted or Wanted(), lambda _: None, asyncio.Event()))


def skip(settings: Settings, records: Sequence[dict[str, object]]) -> None:
    """Let the ledger go past records without an outcome, as a bug of a worker might."""
    make_topic(settings, list(records))
    for record in records:
        change(
            settings,
            "UPDATE applied_offset SET next_offset = next_offset + 1 "
            f"WHERE partition = {home_of(str(record['key']))}",
        )


def change(settings: Settings, *statements: str) -> None:
    """Change the ledger as its owner could."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_what_has_its_outcome_is_left_alone(settings: Settings) -> None:
    """Every record is seen, and no table is another than before."""
    before = dump(settings)
    replayed = replay(settings)
    assert dict(replayed.outcomes) == {Outcome.SEEN: sum(audit(settings, print).offsets.values())}
    assert (replayed.wrong, replayed.rest) == (0, {})
    assert dump(settings) == before


def test_what_has_none_gets_one(settings: Settings) -> None:
    """A payment, its duplicate, a conflict, and one that can be none; then all is right again."""
    paid = document(payer_inn=INN, amount=5)
    changed = {**paid, "amount": 6}
    dead = {"key": INN, "value": b"{", "partition": HOME}
    skipped = [*map(webhook, (paid, paid, changed)), dead]
    skip(settings, skipped)
    would = replay(settings, Wanted(dry_run=True))
    assert len(audit(settings, print).findings) == len(skipped)
    did = replay(settings)
    assert would.outcomes == did.outcomes
    assert {one: count for one, count in did.outcomes.items() if one is not Outcome.SEEN} == {
        Outcome.APPLIED: 1,
        Outcome.DUPLICATE: 1,
        Outcome.CONFLICT: 1,
        Outcome.DEAD: 1,
    }
    assert audit(settings, print).findings == []
    again = replay(settings)
    assert set(again.outcomes) == {Outcome.SEEN}


def test_a_record_of_an_operation_that_was_applied_meanwhile(settings: Settings) -> None:
    """It is a duplicate of a later record, and the audit knows why; an older digest is void."""
    kept = digest.make(settings)
    paid = document(payer_inn=INN, amount=5)
    skip(settings, [webhook(paid)])
    make_topic(settings, [webhook(paid)])
    asyncio.run(apply_topic(settings))
    assert replay(settings).outcomes[Outcome.DUPLICATE] == 1
    assert audit(settings, print).findings == []
    assert digest.make(settings).replayed == kept.replayed + 1


def test_what_differs_is_reported_and_not_changed(settings: Settings) -> None:
    """A rebuild mends that: an entry can't be taken back."""
    change(
        settings,
        "ALTER TABLE payment DISABLE TRIGGER USER",
        f"UPDATE payment SET document_number = 'x' WHERE inn = '{INN}' AND \"offset\" = 0",
    )
    before = dump(settings)
    replayed = replay(settings)
    assert {one.kind for one in replayed.findings} == {Kind.DIFFERS}
    assert replayed.findings[0].where == f"{HOME}:0"
    assert dump(settings) == before


def test_only_the_range_that_is_wanted(settings: Settings) -> None:
    """By positions, by time, by INN; the rest stays without an outcome."""
    others = [inn for inn in INNS if home_of(inn) != HOME]
    skipped = [webhook(document(payer_inn=inn)) for inn in (INN, INN, others[0])]
    skip(settings, skipped)
    stands = audit(settings, print).offsets[HOME]

    def applied(**wanted: object) -> int:
        return replay(settings, Wanted(dry_run=True, **wanted)).outcomes[Outcome.APPLIED]  # type: ignore[arg-type]

    assert applied() == 3
    assert applied(since={HOME: stands - 1}) == 1
    assert applied(since={HOME: stands - 2}, until={HOME: stands - 1}) == 1
    assert applied(inn=INN) == 2
    assert applied(inn=others[0]) == 1
    assert applied(since=MOMENT - timedelta(days=365 * 20)) == 3
    for nothing in (
        {"since": MOMENT + timedelta(days=365 * 50)},
        {"until": MOMENT - timedelta(days=365 * 20)},
        {"since": {HOME: 5}, "until": {HOME: 5}},
    ):
        with pytest.raises(OstatokError, match="Nothing that is applied lies in that range"):
            applied(**nothing)


def test_a_range_that_is_gone_is_refused(settings: Settings) -> None:
    """With what is left, as options to copy; and so is a partition that there is not."""
    from confluent_kafka import TopicPartition  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    cut = TopicPartition(settings.topic, HOME, 3)
    admin.delete_records([cut])[cut].result(30)
    with pytest.raises(OstatokError, match=r"holds offsets 3 to \d+; wanted are 0 to") as raised:
        replay(settings)
    assert f"--from {HOME}:3" in str(raised.value.hint)
    assert replay(settings, Wanted(since={HOME: 3})).outcomes[Outcome.SEEN] > 0
    with pytest.raises(OstatokError, match="has no partition 12"):
        replay(settings, Wanted(since={12: 0}))


def test_what_is_not_applied_yet_is_left_to_the_workers(settings: Settings) -> None:
    """Replay never goes beyond the ledger's offsets."""
    make_topic(settings, [webhook(document(payer_inn=INN))])
    replayed = replay(settings, Wanted(until={HOME: 10**9}))
    assert set(replayed.outcomes) == {Outcome.SEEN}


def test_beside_a_running_system(services: Services, tmp_path: Path) -> None:
    """While webhooks come in and are applied: all is seen, nobody is disturbed."""
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        worker = system.start_stream()
        url = f"http://127.0.0.1:{system.settings.http_port}"
        options = ("--url", url, "--webhooks", "6000", "--organizations", "50")
        bank = system.start("simulate", *options, log="bank")
        rounds = seen = 0
        while bank.poll() is None:
            replayed = replay(system.settings)
            assert set(replayed.outcomes) <= {Outcome.SEEN}
            assert replayed.findings == []
            rounds, seen = rounds + 1, seen + replayed.outcomes[Outcome.SEEN]
        assert (rounds > 1, seen > 0) == (True, True)
        assert bank.returncode == 0
        assert worker.poll() is None
        assert len(system.events("stream.log", "partitions_assigned")) == 1


def test_ctrl_c_is_safe_and_it_can_go_on(services: Services, tmp_path: Path) -> None:
    """It ends what it has in hand, and says the command that does the rest."""
    settings = services.new_settings()
    skip_many = [webhook(document(payer_inn=INN, amount=1)) for _ in range(20_000)]
    make_topic(settings, skip_many)
    change(settings, f"UPDATE applied_offset SET next_offset = 20000 WHERE partition = {HOME}")
    with System(settings, tmp_path) as system:
        first = system.start("replay", log="said")
        while not system.sql("SELECT 1 FROM payment LIMIT 1"):
            assert first.poll() is None
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 130
        said = (tmp_path / "said").read_text(encoding="utf-8")
        command = said[said.index("ostatok replay --from") :].split()[1:]
        ((applied,),) = system.sql("SELECT count(*) FROM payment")
        assert 0 < applied < 20_000
        assert command == ["replay", "--from", f"{HOME}:{applied}", "--to", f"{HOME}:20000"]
        assert "Traceback" not in said
        system.run(*command)
        ((balance,),) = system.sql("SELECT balance FROM organization")
        assert balance == 20_000
        report = json.loads(system.run("audit", "--json"))
        assert report["wrong"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "soon"], "must be partition:offset, or a time"),
        (["--from", "1:2", "--from", "now"], "now is no partition:offset"),
        (["--inn", "12"], "must be 10 or 12 digits"),
    ],
)
def test_a_wrong_option_is_named(
    settings: Settings, tmp_path: Path, options: list[str], said: str
) -> None:
    """Before anything is read."""
    with System(settings, tmp_path) as system:
        process = system.start("replay", *options, log="said")
        assert process.wait(30) == 2
        assert said in (tmp_path / "said").read_text(encoding="utf-8")
