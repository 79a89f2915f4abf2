"""A rebuild makes the same ledger of the topic alone, names what differs, and mends it."""

import asyncio
import signal
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.journal import INNS, apply_topic, filled, home_of, make_topic, webhook
from support.payments import document
from support.planted import INN, PLANTED
from support.services import Services, dump
from support.system import System, wait_until

from ostatok.errors import JournalMismatch, LedgerError, LedgerUnavailable
from ostatok.local.ports import free_port
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.second import Pair
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Rebuilt, Wanted
from ostatok_stream.rebuild import rebuild as run

SECOND = "ostatok_rebuild"


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=3)


def rebuild(settings: Settings, wanted: Wanted | None = None) -> Rebuilt:
    """Rebuild without a word."""
    return asyncio.run(run(settings, wanted or Wanted(), lambda _: None, asyncio.Event()))


def schemas(settings: Settings) -> set[str]:
    """The schemas of ours in the database."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ostatok%'")
        return {row[0] for row in rows.fetchall()}


def next_offset(settings: Settings, partition: int) -> int:
    """How far the second ledger is."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        statement = f'SELECT next_offset FROM "{SECOND}".applied_offset WHERE partition = %s'
        (found,) = connection.execute(statement.encode(), (partition,)).fetchall()
        return int(found[0])


def end_session(settings: Settings, name: str) -> None:
    """End the sessions of that name, as an administrator or a crash does."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name LIKE %s AND pid <> pg_backend_pid()",
            (f"%{name}%",),
        ).fetchall()
        assert ended == [(True,)]


def change(settings: Settings, *statements: str) -> None:
    """Change the ledger as its owner could."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        for table in ("payment", "balance_log", "duplicate"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        connection.execute("ALTER TABLE balance_log DROP CONSTRAINT IF EXISTS balance_log_adds_up")
        for statement in statements:
            connection.execute(statement.encode())


def test_it_makes_the_same_ledger(settings: Settings) -> None:
    """Every table to the byte, beside the live one; again it goes on where it was."""
    rebuilt = rebuild(settings)
    assert (rebuilt.differences, rebuilt.swapped) == ([], False)
    second = settings.model_copy(update={"database_schema": SECOND})
    assert dump(second) == dump(settings)
    make_topic(settings, [webhook(document(payer_inn=INN))])
    asyncio.run(apply_topic(settings))
    again = rebuild(settings)
    assert again.differences == []
    assert sum(again.offsets.values()) == sum(rebuilt.offsets.values()) + 1
    assert dump(second) == dump(settings)


@pytest.mark.parametrize(
    "what",
    [
        "a balance changed",
        "an amount changed in all three",
        "a log entry removed",
        "a payment deleted",
        "a conflict said to be a duplicate",
        "a dead letter deleted",
    ],
)
def test_what_differs_is_named_and_mended_by_a_swap(settings: Settings, what: str) -> None:
    """Afterwards topic and ledger agree, and nothing else is left."""
    right = dump(settings)
    change(settings, *PLANTED[what][0])
    differences = rebuild(settings).differences
    assert differences
    assert {one.inn for one in differences} <= {*INNS, ""}
    rebuilt = rebuild(settings, Wanted(swap=True))
    assert rebuilt.swapped
    assert dump(settings) == right
    assert audit(settings, lambda _: None).findings == []
    assert schemas(settings) == {"ostatok", "ostatok_service"}


def test_the_old_one_can_be_kept(settings: Settings) -> None:
    """It is in the way of the next swap then, which is said before anything is done."""
    change(settings, *PLANTED["a balance changed"][0])
    wrong = dump(settings)
    assert rebuild(settings, Wanted(swap=True, keep=True)).swapped
    assert dump(settings.model_copy(update={"database_schema": "ostatok_before"})) == wrong
    with pytest.raises(LedgerError, match="ostatok_before is there"):
        rebuild(settings, Wanted(swap=True))


def test_of_several_inns_the_one_counts_that_counted(services: Services) -> None:
    """Whichever the live ledger met first; the other way round than the topic is read."""
    settings = services.new_settings()
    first, second = INNS[0], INNS[2]
    assert home_of(first) != home_of(second)
    for winner, loser in ((first, second), (second, first)):
        paid = document(payer_inn=winner)
        make_topic(settings, [webhook(paid)])
        asyncio.run(apply_topic(settings))
        make_topic(settings, [webhook({**paid, "payer_inn": loser})] * 2)
        asyncio.run(apply_topic(settings))
    rebuilt = rebuild(settings, Wanted(fresh=True))
    assert rebuilt.differences == []
    second_ledger = settings.model_copy(update={"database_schema": SECOND})
    assert dump(second_ledger) == dump(settings)


def test_what_a_stopped_rebuild_held_back_is_not_lost(services: Services) -> None:
    """It had gone past a record whose operation counts in a partition that it had not come to."""
    settings = services.new_settings(stream_batch_records_max=500, stream_connections=1)
    winner, loser = INNS[0], INNS[2]
    paid = document(payer_inn=winner)
    make_topic(settings, [webhook({**paid, "payer_inn": loser})])
    # Behind so many that the first turns do not come to it.
    make_topic(settings, [webhook(document(payer_inn=winner)) for _ in range(20_000)])
    make_topic(settings, [webhook(paid)])
    asyncio.run(apply_topic(settings, home_of(winner)))
    asyncio.run(apply_topic(settings))
    stop = asyncio.Event()

    def stop_behind_the_loser(_: str) -> None:
        if next_offset(settings, home_of(loser)):
            stop.set()

    assert not asyncio.run(run(settings, Wanted(), stop_behind_the_loser, stop)).finished
    assert next_offset(settings, home_of(winner)) <= 20_000
    assert rebuild(settings).differences == []
    assert dump(settings.model_copy(update={"database_schema": SECOND})) == dump(settings)


def test_a_connection_that_dies_in_a_swap_leaves_all_as_it_was(settings: Settings) -> None:
    """Nothing is renamed, and the next swap works."""
    right = dump(settings)
    rebuild(settings)
    pair = Pair.connect(settings)
    try:
        with pytest.raises(LedgerUnavailable):
            pair.swap(lambda _: end_session(settings, "rebuild"))
    finally:
        pair.close()
    assert dump(settings) == right
    assert schemas(settings) == {"ostatok", "ostatok_service", SECOND}
    assert rebuild(settings, Wanted(swap=True)).swapped
    assert dump(settings) == right


def test_a_topic_without_its_beginning_is_refused(settings: Settings) -> None:
    """A ledger made of the rest would lack payments; nothing is made."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    cut = TopicPartition(settings.topic, home_of(INN), 2)
    admin.delete_records([cut])[cut].result(30)
    with pytest.raises(JournalMismatch, match=f"begins at {home_of(INN)}:2"):
        rebuild(settings)
    assert SECOND not in schemas(settings)


def test_swaps_under_live_webhooks(services: Services, tmp_path: Path) -> None:
    """No webhook is lost, no batch torn, no worker ends; balances are answered all the while."""
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        workers = [system.start_stream(), system.start_stream(free_port())]
        url = f"http://127.0.0.1:{system.settings.http_port}"
        options = ("--url", url, "--webhooks", "12000", "--organizations", "50", "--rate", "600")
        bank = system.start("simulate", *options, log="bank")
        swaps = 0
        while bank.poll() is None:
            assert rebuild(system.settings, Wanted(swap=True)).differences == []
            swaps += 1
        assert bank.returncode == 0, (tmp_path / "bank").read_text(encoding="utf-8")
        assert swaps > 1
        assert [worker.poll() for worker in workers] == [None, None]
        assert "Everything agrees." in system.run("audit")


def test_ctrl_c_is_safe_and_it_goes_on(services: Services, tmp_path: Path) -> None:
    """What is built is kept; the same command does the rest."""
    settings = services.new_settings(stream_batch_records_max=1_000, stream_connections=1)
    make_topic(settings, [webhook(document(payer_inn=INN, amount=1)) for _ in range(20_000)])
    asyncio.run(apply_topic(settings))
    built = f'SELECT sum(next_offset) FROM "{SECOND}".applied_offset'
    with System(settings, tmp_path) as system:
        first = system.start("rebuild", log="said")

        def some_is_built() -> bool:
            assert first.poll() is None
            try:
                return bool(system.sql(built)[0][0])
            except psycopg.errors.UndefinedTable:
                return False

        wait_until(some_is_built, "some is built")
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 130
        said = (tmp_path / "said").read_text(encoding="utf-8")
        assert "The same command goes on from here." in said
        assert 0 < system.sql(built)[0][0] < 20_000
        assert "20,000 records: 0 differences." in system.run("rebuild")
        assert "is gone" in system.run("rebuild", "--drop")
        assert SECOND not in schemas(settings)
