"""A copy of the topic gives the topic back, and a ledger gives back what no copy has."""

import asyncio
import gzip
import random
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from support.foreign import produce, produce_nameless
from support.journal import INNS, apply_topic, deliveries, filled, home_of, make_topic, webhook
from support.payments import PARTITIONS, document
from support.rebuilding import rebuild
from support.services import Services, dump
from support.system import wait_until

from ostatok import journal
from ostatok.backup import Backup, Copied, Restore
from ostatok.errors import JournalMismatch, OstatokError
from ostatok.journal import Record
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.connection import conninfo
from ostatok_db.dead_letters import DeadLetters, Decision, Filter
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Wanted
from ostatok_stream.reseed import Reseeded
from ostatok_stream.reseed import reseed as run_reseed

Row = tuple[object, ...]


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=5)


def records(settings: Settings) -> list[Record]:
    """All that the topic has, in order."""
    held = Topic(settings).ranges(range(PARTITIONS))
    bounds = {one: (there.earliest, there.end) for one, there in held.items()}
    found = RecordReader(settings, "test").read_all(bounds)
    return sorted(found, key=lambda one: (one.partition, one.offset))


def lose_topic(settings: Settings) -> None:
    """Delete the topic, as whoever lost the cluster has it."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    admin.delete_topics([settings.topic])[settings.topic].result(30)
    wait_until(lambda: Topic(settings).describe() is None, "the topic is gone")


def backup(settings: Settings, folder: Path) -> Copied:
    """Back up without a word."""
    return Backup(settings, folder).run(lambda _: None)


def restore(settings: Settings, folder: Path) -> Copied:
    """Restore without a word."""
    return Restore(settings, folder).run(lambda _: None)


def reseed(settings: Settings, *, dry_run: bool = False) -> Reseeded:
    """Reseed without a word."""
    return run_reseed(settings, lambda _: None, dry_run=dry_run)


def money(settings: Settings) -> tuple[list[Row], list[Row]]:
    """Payments and balances, wherever their records lie."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        paid = connection.execute(
            "SELECT operation_id, inn, amount, document_number, document_date, source, request_id, "
            "received_at FROM payment ORDER BY operation_id"
        ).fetchall()
        balances = connection.execute("SELECT inn, balance FROM organization ORDER BY inn")
        return paid, balances.fetchall()


def test_a_copy_gives_the_same_topic_and_the_same_ledger(
    settings: Settings, tmp_path: Path
) -> None:
    """Every record as it was, strangers' too; the ledger differs in the topic's id alone."""
    before, right = records(settings), dump(settings)
    copied = backup(settings, tmp_path / "copy")
    assert copied.records == len(before)
    assert backup(settings, tmp_path / "copy").records == 0
    lose_topic(settings)
    restored = restore(settings, tmp_path / "copy")
    assert (restored.records, restored.moved, restored.ends) == (len(before), False, copied.ends)
    assert records(settings) == before
    assert restore(settings, tmp_path / "copy").records == 0
    with pytest.raises(JournalMismatch, match="was made anew"):
        rebuild(settings, Wanted(swap=True))
    rebuilt = rebuild(settings, Wanted(swap=True, new_topic=True))
    assert (rebuilt.differences, rebuilt.swapped) == ([], True)
    assert audit(settings, lambda _: None).findings == []
    for table, rows in dump(settings).items():
        if table != "applied_offset":
            assert rows == right[table], table


def test_a_backup_adds_what_came_since(settings: Settings, tmp_path: Path) -> None:
    """A restore that had come as far as an earlier state of the copy goes on from there."""
    backup(settings, tmp_path / "copy")
    other = settings.model_copy(update={"topic": f"{settings.topic}-other"})
    restore(other, tmp_path / "copy")
    assert records(other) == records(settings)
    make_topic(settings, [webhook(document(payer_inn=INNS[0])) for _ in range(7)])
    assert backup(settings, tmp_path / "copy").records == 7
    assert restore(other, tmp_path / "copy").records == 7
    assert records(other) == records(settings)


def test_a_record_whose_headers_nobody_can_read_stays_dead(
    services: Services, tmp_path: Path
) -> None:
    """Without its headers it could be a payment."""
    settings = services.new_settings()
    make_topic(settings, [webhook(document(payer_inn=INNS[0]))])
    produce_nameless(settings, home_of(INNS[0]))
    backup(settings, tmp_path / "copy")
    lose_topic(settings)
    restore(settings, tmp_path / "copy")
    entries, dead = journal.read(records(settings), PARTITIONS)
    assert (len(entries), [one.reason for one in dead]) == (
        1,
        ["the header ostatok-format names a format unknown here"],
    )


def test_a_copy_that_is_not_whole_is_refused(settings: Settings, tmp_path: Path) -> None:
    """A file that is missing, cut, or of another topic is named; nothing is written."""
    folder, home = tmp_path / "copy", home_of(INNS[0])
    for _ in range(3):
        make_topic(settings, [webhook(document(payer_inn=INNS[0]))])
        backup(settings, folder)
    files = sorted((folder / f"{home:05}").iterdir())
    lose_topic(settings)
    kept = files[1].read_bytes()
    files[1].unlink()
    with pytest.raises(OstatokError, match=f"lacks offsets .* of partition {home}"):
        restore(settings, folder)
    files[1].write_bytes(kept)
    kept = files[0].read_bytes()
    files[0].unlink()
    with pytest.raises(OstatokError, match=f"partition {home} begins at"):
        restore(settings, folder)
    assert Topic(settings).describe() is None
    files[0].write_bytes(kept[:-9])
    with pytest.raises(OstatokError, match=f"{files[0].name} can't be read"):
        restore(settings, folder)
    lose_topic(settings)
    files[0].write_bytes(kept)
    Topic(settings).ensure()
    with pytest.raises(OstatokError, match="a copy of another topic"):
        backup(settings, folder)
    with pytest.raises(OstatokError, match="no copy of a topic"):
        restore(settings, tmp_path)


def test_a_topic_with_other_records_is_not_restored_into(
    settings: Settings, tmp_path: Path
) -> None:
    """What is in it stays as it is."""
    backup(settings, tmp_path / "copy")
    other = settings.model_copy(update={"topic": f"{settings.topic}-other"})
    Topic(other).ensure()
    produce(other, [webhook(document(payer_inn=INNS[0]))])
    before = records(other)
    with pytest.raises(JournalMismatch, match="holds other records"):
        restore(other, tmp_path / "copy")
    assert [one for one in records(other) if one.partition == before[0].partition] == before


def test_a_file_is_there_whole_or_not_at_all(settings: Settings, tmp_path: Path) -> None:
    """What a backup that died left unfinished is in nobody's way."""
    folder = tmp_path / "copy"
    backup(settings, folder)
    (file,) = (folder / f"{home_of(INNS[0]):05}").iterdir()
    assert gzip.decompress(file.read_bytes()).count(b"\n") > 1
    file.rename(file.with_name(f".{file.name}.unfinished"))
    backup(settings, folder)
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_without_a_copy_the_ledger_gives_its_payments(settings: Settings) -> None:
    """A rebuild from the new topic gives the same payments and balances, and goes on."""
    paid = money(settings)
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        (counts,) = connection.execute(
            "SELECT (SELECT count(*) FROM payment), (SELECT count(*) FROM duplicate), "
            "(SELECT count(*) FROM dead_letter)"
        ).fetchall()
    with pytest.raises(JournalMismatch, match="the one that the ledger was built from"):
        reseed(settings)
    lose_topic(settings)
    assert reseed(settings, dry_run=True) == Reseeded(0, *counts)
    assert Topic(settings).describe() is None
    assert reseed(settings) == Reseeded(0, *counts)
    # A second one writes nothing: it is safe to run again.
    assert reseed(settings) == Reseeded(counts[0], 0, *counts[1:])
    assert rebuild(settings, Wanted(new_topic=True)).differences == []
    assert rebuild(settings, Wanted(swap=True, new_topic=True)).swapped
    assert money(settings) == paid
    assert audit(settings, lambda _: None).findings == []
    make_topic(settings, [webhook(document(payer_inn=INNS[0]))])
    asyncio.run(apply_topic(settings))
    assert len(money(settings)[0]) == len(paid[0]) + 1


def test_what_came_after_the_copy_comes_from_the_ledger(services: Services, tmp_path: Path) -> None:
    """Also when the copy holds the loser of an operation with two INNs, and not the winner."""
    settings = services.new_settings()
    winner, loser = INNS[0], INNS[2]
    make_topic(settings, deliveries(random.Random(8), 100))
    asyncio.run(apply_topic(settings))
    disputed = document(payer_inn=winner)
    make_topic(settings, [webhook({**disputed, "payer_inn": loser})])
    backup(settings, tmp_path / "copy")
    make_topic(settings, [webhook(disputed), webhook(document(payer_inn=loser))])
    asyncio.run(apply_topic(settings, home_of(winner)))
    asyncio.run(apply_topic(settings))
    paid = money(settings)
    lose_topic(settings)
    restore(settings, tmp_path / "copy")
    differences = rebuild(settings, Wanted(new_topic=True)).differences
    assert {one.inn for one in differences} == {winner, loser}
    assert reseed(settings).written == 2
    assert rebuild(settings, Wanted(swap=True, new_topic=True)).differences == []
    assert money(settings) == paid
    assert audit(settings, lambda _: None).findings == []


@pytest.mark.parametrize("is_copy", [True, False])
def test_decisions_stay_with_their_dead_letters(
    settings: Settings, tmp_path: Path, *, is_copy: bool
) -> None:
    """A copy has the dead letter at its place; after a reseed the place is another record's."""
    letters = DeadLetters.connect(settings)
    try:
        (letter, *_) = letters.find(Filter(), 100)
        letters.decide(letter, Decision.DISCARDED, by="test", reason="a test")
        if is_copy:
            backup(settings, tmp_path / "copy")
        lose_topic(settings)
        if is_copy:
            restore(settings, tmp_path / "copy")
        else:
            reseed(settings)
        rebuild(settings, Wanted(swap=True, new_topic=True))
        decided = letters.find(Filter(decided=True), 100)
    finally:
        letters.close()
    assert bool(decided) is is_copy
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        ((topic,),) = connection.execute(
            "SELECT topic FROM ostatok_service.dead_letter_decision"
        ).fetchall()
    assert topic.partition("@")[0] == settings.topic
    assert ("@" in topic) is not is_copy
