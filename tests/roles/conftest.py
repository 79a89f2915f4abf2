"""A ledger whose http and stream processes have roles of their own."""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import TupleRow
from support.payments import batch, dead_letter, entry, payment
from support.roles import Ask, as_part, with_roles

from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_db.migrate import migrate


@pytest.fixture
async def roled(database: Settings) -> Settings:
    """A ledger with a payment, a repeat and a dead letter, applied as the stream's role."""
    settings = with_roles(database)
    migrate(settings)
    target = conninfo(as_part(settings, "stream"), name="test", writes=True)
    ledger = await Ledger.connect(target)
    try:
        paid = payment()
        await ledger.apply(batch(entry(paid, 0), entry(paid, 1), dead=[dead_letter(3, 0)]))
    finally:
        await ledger.close()
    return settings


@pytest.fixture
def ask(roled: Settings) -> Iterator[Ask]:
    """Speak SQL as somebody who has got hold of a process's password."""
    with ExitStack() as stack:
        connections = {
            part: stack.enter_context(
                psycopg.connect(conninfo(as_part(roled, part), name="test"), autocommit=True)
            )
            for part in ("stream", "http")
        }

        def run(part: str, statement: str) -> list[TupleRow]:
            cursor = connections[part].execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        yield run
