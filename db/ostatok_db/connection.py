"""How the ledger's connections are made, and what an error of the database means."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ostatok.errors import (
    LedgerCorrupt,
    LedgerError,
    LedgerNotMigrated,
    LedgerUnavailable,
    OperationTaken,
    RecordRefused,
)
from ostatok.settings import Settings

# The server's own troubles: connection, resources, shutdown, and a transaction to do again. Waiting
# mends them. https://www.postgresql.org/docs/current/errcodes-appendix.html
TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57", "58"})
# Read-only (a standby, during a failover), time-outs of idle or long transactions, and of locks.
TRANSIENT_STATES = frozenset({"25006", "25P03", "25P04", "55P03"})

NOT_MIGRATED = frozenset({"3F000", "42P01"})
"""No such schema, no such table: the process came before ``ostatok migrate``."""

NO_RIGHT = "42501"
"""SQLSTATE insufficient_privilege."""

USE_SCHEMA = "SELECT set_config('search_path', %(schema)s || ', pg_temp', true)"
"""What a transaction says first behind PgBouncer in transaction mode. That gives each transaction
another session: nothing that lasts longer can be asked of it, neither options nor prepared
statements."""


def conninfo(
    settings: Settings,
    *,
    name: str,
    statement_seconds_max: float | None = None,
    writes: bool = False,
) -> str:
    """The connection string of a session of ours.

    ``search_path`` decides which ledger it sees, and names temporary tables last: else one that is
    called like a table of the ledger would come before that. Time zone and date style make the text
    of a date the same everywhere; a commit is on the disk before it is answered, whatever the
    server's default is.
    """
    given = settings.database_conninfo
    session = {
        "search_path": f"{settings.database_schema},pg_temp",
        "timezone": "UTC",
        "datestyle": "ISO",
        "synchronous_commit": "on",
        "default_transaction_isolation": r"read\ committed",
        # The server's side of a client that is gone without a word, so that its locks go too.
        "idle_in_transaction_session_timeout": "30s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    if statement_seconds_max is not None:
        session["statement_timeout"] = f"{statement_seconds_max * 1000:.0f}"
    options = " ".join(f"-c {key}={value}" for key, value in session.items())
    given_values = conninfo_to_dict(given)
    before = given_values.get("options") or ""
    # Who writes has to reach a primary, also when the URL prefers others for those who read.
    where = "read-write" if writes else given_values.get("target_session_attrs") or "any"
    return make_conninfo(
        given,
        application_name=f"ostatok {name}",
        options=f"{before} {options}".strip(),
        client_encoding="UTF8",
        target_session_attrs=where,
        connect_timeout=5,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn an error of psycopg into :class:`LedgerUnavailable` or :class:`LedgerCorrupt`."""
    try:
        yield
    except psycopg.Error as error:
        raise map_error(error) from error


@contextmanager
def service_errors() -> Iterator[None]:
    """Do the same for what lies in ``ostatok_service``, which no ledger is corrupt by.

    Of a ledger's own tables a missing right means something worse than here.
    """
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate in NOT_MIGRATED:
            text = "Its table is not there yet; `ostatok migrate` makes it."
            raise LedgerUnavailable(text) from error
        if error.sqlstate == NO_RIGHT:
            raise LedgerUnavailable(f"Postgres: {error.diag.message_primary}") from error
        raise map_error(error) from error


SINGLE_RECORD_CONSTRAINTS = frozenset(
    {
        "organization_inn_length",
        "payment_amount_positive",
        "payment_document_number_length",
    }
)
"""What speaks of one record alone. The grammar lets nothing through that could break them; should
it once, that record is no reason to stop all others."""


REFUSED_REASON = "the database refuses it: "
"""How the reason of a dead letter begins whose record is a payment."""


def map_error(error: psycopg.Error) -> LedgerError:
    """Which of our errors an error of psycopg is: by its SQLSTATE, by its type when it has none."""
    state = error.sqlstate
    if state in NOT_MIGRATED:
        return LedgerNotMigrated()
    if state is None:
        transient = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    else:
        transient = state[:2] in TRANSIENT_CLASSES or state in TRANSIENT_STATES
    # Not the whole text: its DETAIL can hold a row, and so an INN.
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    if transient:
        return LedgerUnavailable(f"Postgres: {text}")
    if error.diag.constraint_name == "payment_pkey":
        return OperationTaken("another session recorded one of the operations")
    if error.diag.constraint_name in SINGLE_RECORD_CONSTRAINTS:
        return RecordRefused(f"{REFUSED_REASON}{error.diag.constraint_name}")
    return LedgerCorrupt(
        f"Postgres refused what can't be refused (SQLSTATE {state}): {text}",
        hint="Nothing of the batch was written. SQLSTATE 42…: a right is missing, or `ostatok "
        "migrate`. Any other: see docs/reliability.md.",
    )
