"""A copy of the topic gives the topic back."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from support.copies import backup, records, reseed, restore
from support.foreign import produce, produce_nameless
from support.journal import INNS, filled, home_of, make_topic, webhook
from support.payments import PARTITIONS, document
from support.rebuilding import rebuild
from support.services import Services, dump
from support.system import System

from ostatok import journal
from ostatok.errors import JournalMismatch, OstatokError
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok.topic_removal import delete
from ostatok_stream.audit import audit
from ostatok_stream.rebuild import Wanted


@pytest.fixture
def settings(services: Services) -> Settings:
    """A topic with every kind of record, and the ledger that belongs to it."""
    return filled(services, seed=5)


def test_a_copy_gives_the_same_topic_and_the_same_ledger(
    settings: Settings, tmp_path: Path
) -> None:
    """Every record as it was, strangers' too; the ledger differs in the topic's id alone."""
    before, right = records(settings), dump(settings)
    copied = backup(settings, tmp_path / "copy")
    assert copied.records == len(before)
    assert backup(settings, tmp_path / "copy").records == 0
    delete(settings)
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
    delete(settings)
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
    delete(settings)
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
    files[0].write_bytes(kept)
    kept = files[2].read_bytes()
    files[2].unlink()
    with pytest.raises(OstatokError, match=f"lacks the end of partition {home}"):
        restore(settings, folder)
    assert Topic(settings).describe() is None
    files[2].write_bytes(kept)
    lines = gzip.decompress(files[0].read_bytes())
    kept = files[0].read_bytes()
    # A line that reads well and is another: only the checksum at the end of the file knows.
    forged = gzip.compress(lines.replace(b"PAY-", b"PAX-"))[:-8] + kept[-8:]
    at = len(kept) // 2
    flipped = kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :]
    for damaged in (kept[:-9], flipped, forged):
        files[0].write_bytes(damaged)
        with pytest.raises(OstatokError, match=f"{files[0].name} can't be read"):
            restore(settings, folder)
        assert all(one.partition != home for one in records(settings))
        delete(settings)
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


def test_what_is_written_anew_is_not_cut_by_retention(settings: Settings, tmp_path: Path) -> None:
    """Its records have their old times."""
    backup(settings, tmp_path / "copy")
    short = settings.model_copy(update={"topic_retention_ms": 60_000})
    for write in (lambda: restore(short, tmp_path / "copy"), lambda: reseed(short)):
        delete(settings)
        write()
        with pytest.raises(JournalMismatch, match=r"retention\.ms is -1, not 60000"):
            Topic(short).ensure()


def test_a_folder_that_nobody_may_write_to_is_named(settings: Settings, tmp_path: Path) -> None:
    """In one sentence, as everything at the command line."""
    with System(settings, tmp_path) as system:
        done = subprocess.run(
            [sys.executable, "-m", "ostatok", "topic", "backup", "/proc/copy"],
            env=system.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("ostatok: /proc/copy")
        assert "Traceback" not in done.stderr
        wrong = subprocess.run(
            [sys.executable, "-m", "ostatok", "topic", "delete", "other"],
            env=system.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert wrong.returncode == 2
        assert f"the topic is {settings.topic}" in wrong.stderr
        assert f"The topic {settings.topic} is gone." in system.run(
            "topic", "delete", settings.topic
        )


def test_a_file_is_there_whole_or_not_at_all(settings: Settings, tmp_path: Path) -> None:
    """What a backup that died left unfinished is in nobody's way."""
    folder = tmp_path / "copy"
    backup(settings, folder)
    (file,) = (folder / f"{home_of(INNS[0]):05}").iterdir()
    assert gzip.decompress(file.read_bytes()).count(b"\n") > 1
    file.rename(file.with_name(f".{file.name}.unfinished"))
    backup(settings, folder)
    assert [one.name for one in file.parent.iterdir()] == [file.name]
