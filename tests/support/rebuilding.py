"""Rebuilds without a word, and what they leave."""

import asyncio

import psycopg

from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_stream.rebuild import Rebuilt, Wanted
from ostatok_stream.rebuild import rebuild as run

SECOND = "ostatok_rebuild"


def rebuild(settings: Settings, wanted: Wanted | None = None) -> Rebuilt:
    """Rebuild without a word."""
    return asyncio.run(run(settings, wanted or Wanted(), lambda _: None, asyncio.Event()))


def schemas(settings: Settings) -> set[str]:
    """The schemas of ours in the database."""
    with psycopg.connect(conninfo(settings, name="test")) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ostatok%'")
        return {row[0] for row in rows.fetchall()}
