"""A rebuild makes the same ledger of the topic alone, names what differs, and mends it."""

import asyncio

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.journal import INNS, apply_topic, filled, home_of, make_topic, webhook
from support.payments import document
from support.planted import INN, PLANTED
from support.rebuilding import SECOND, rebuild, schemas
from support.services import Services, dump

from ostatok.errors import JournalMismatch, LedgerError, LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.second import Pair
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Wanted
from ostatok_stream.rebuild import rebuild as run


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=3)


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


AHEAD = f"UPDATE organization SET balance = balance + 9, entries = entries + 1 WHERE inn = '{INN}'"
INVENTED = (
    "INSERT INTO organization SELECT '2222222222', balance, entries, head, changed_at "
    f"FROM organization WHERE inn = '{INN}'"
)


QUICK = {
    "a balance changed",
    "an amount changed in all three",
    "an INN changed in a payment",
    "a payment deleted",
    "a payment without a record",
    "a conflict said to be a duplicate",
    "an outcome of another topic",
}
"""Of what an audit must find, as much as `make test` plants here too."""


@pytest.mark.parametrize(
    "statements",
    [
        *(
            pytest.param(planted, id=what, marks=[] if what in QUICK else pytest.mark.long)
            for what, (planted, _) in PLANTED.items()
        ),
        pytest.param((AHEAD,), id="a balance ahead of its log"),
        pytest.param((INVENTED,), id="an organization without a log"),
    ],
)
def test_what_differs_is_named_and_mended_by_a_swap(
    settings: Settings, statements: tuple[str, ...]
) -> None:
    """Afterwards topic and ledger agree, and nothing else is left."""
    right = dump(settings)
    change(settings, *statements)
    rebuilt = rebuild(settings, Wanted(swap=True))
    assert rebuilt.swapped
    assert rebuilt.differences
    assert {one.inn for one in rebuilt.differences} <= {*INNS, "2222222222", ""}
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


def disputed(services: Services) -> tuple[Settings, str, str]:
    """A topic in which the record that counts comes long after one of the same operation.

    The settings, the winner's INN and the loser's.
    """
    settings = services.new_settings(stream_batch_records_max=500, stream_connections=1)
    winner, loser = INNS[0], INNS[2]
    paid = document(payer_inn=winner)
    make_topic(settings, [webhook({**paid, "payer_inn": loser})] * 2)
    # Behind so many that the first turns do not come to it.
    make_topic(settings, [webhook(document(payer_inn=winner)) for _ in range(20_000)])
    make_topic(settings, [webhook(paid)])
    asyncio.run(apply_topic(settings, home_of(winner)))
    asyncio.run(apply_topic(settings))
    return settings, winner, loser


@pytest.mark.parametrize("swap", [False, True])
def test_what_a_stopped_rebuild_held_back_is_not_lost(
    services: Services, monkeypatch: pytest.MonkeyPatch, *, swap: bool
) -> None:
    """It had gone past a record whose operation counts in a partition that it had not come to."""
    settings, winner, loser = disputed(services)
    right = dump(settings)
    monkeypatch.setattr("ostatok.pace.SECONDS_BETWEEN", 0)
    stop = asyncio.Event()

    def stop_behind_the_loser(_: str) -> None:
        if next_offset(settings, home_of(loser)):
            stop.set()

    assert not asyncio.run(run(settings, Wanted(), stop_behind_the_loser, stop)).finished
    assert next_offset(settings, home_of(winner)) <= 20_000
    rebuilt = rebuild(settings, Wanted(swap=swap))
    assert (rebuilt.differences, rebuilt.swapped) == ([], swap)
    schema = "ostatok" if swap else SECOND
    assert dump(settings.model_copy(update={"database_schema": schema})) == right


def test_a_repeat_that_the_live_ledger_lost_is_found(services: Services) -> None:
    """Of an operation with two INNs: who counts is asked of its payment, not of its repeats."""
    settings, _, _ = disputed(services)
    right = dump(settings)
    change(settings, "DELETE FROM duplicate WHERE ctid = (SELECT min(ctid) FROM duplicate)")
    assert [one.kind for one in rebuild(settings).differences] == ["duplicate"]
    assert rebuild(settings, Wanted(swap=True)).swapped
    assert dump(settings) == right


def test_a_body_that_was_emptied_stays_empty(settings: Settings) -> None:
    """Its owner may do that (docs/data.md): it is no difference, and a swap brings nothing back."""
    change(
        settings,
        "UPDATE dead_letter SET key = NULL, value = NULL, "
        "header_names = '{}', header_values = '{}'",
    )
    emptied = dump(settings)
    rebuilt = rebuild(settings, Wanted(swap=True))
    assert (rebuilt.differences, rebuilt.swapped) == ([], True)
    assert dump(settings) == emptied


def test_one_rebuild_at_a_time(settings: Settings) -> None:
    """They would share the second ledger."""
    pair = Pair.connect(settings)
    try:
        with pair.alone(), pytest.raises(LedgerError, match="Another rebuild"):
            rebuild(settings)
    finally:
        pair.close()
    assert rebuild(settings).differences == []


def test_a_second_ledger_beyond_a_restored_one_is_refused(settings: Settings) -> None:
    """It may hold what the live one decides otherwise since."""
    rebuild(settings)
    change(
        settings, "UPDATE applied_offset SET next_offset = next_offset - 1 WHERE next_offset > 1"
    )
    with pytest.raises(LedgerError, match=r"The second ledger is at .*, beyond"):
        rebuild(settings, Wanted(swap=True))


def test_a_ledger_of_two_topics_is_refused(settings: Settings) -> None:
    """A swap would drop what came from the other one."""
    change(
        settings,
        "INSERT INTO applied_offset SELECT 'other', 0, 0, topic_id FROM applied_offset LIMIT 1",
    )
    with pytest.raises(LedgerError, match="made of another topic too: other"):
        rebuild(settings)


def test_another_revision_is_not_put_in_place(settings: Settings) -> None:
    """Processes stand on the schema that was migrated to."""
    rebuild(settings)
    change(settings, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="schema revision 9999"):
        rebuild(settings, Wanted(swap=True))


def test_a_connection_that_dies_in_a_swap_leaves_all_as_it_was(settings: Settings) -> None:
    """Nothing is renamed, and the next swap works."""
    right = dump(settings)
    rebuild(settings)
    pair = Pair.connect(settings)
    try:
        with pytest.raises(LedgerUnavailable):
            pair.swap(lambda: pair.offsets(pair.live), lambda: end_session(settings, "rebuild"))
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
