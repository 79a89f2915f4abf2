"""Copies of the topic, and reseeds, without a word."""

from pathlib import Path

import psycopg

from ostatok.backup import Backup, Copied, Restore
from ostatok.journal import Record
from ostatok.record_reader import RecordReader
from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.connection import conninfo
from ostatok_stream.reseed import Reseeded
from ostatok_stream.reseed import reseed as run_reseed
from support.payments import PARTITIONS

Row = tuple[object, ...]


def records(settings: Settings) -> list[Record]:
    """All that the topic has, in order."""
    held = Topic(settings).ranges(range(PARTITIONS))
    bounds = {one: (there.earliest, there.end) for one, there in held.items()}
    found = RecordReader(settings, "test").read_all(bounds)
    return sorted(found, key=lambda one: (one.partition, one.offset))


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
