"""What the roles of the stream processes and of http may do in Postgres: all of it, a line a table.

`ostatok migrate` makes it so: it grants what stands here and takes away what does not. What is not
here, such as a table that a later version made, only its owner may use. The owner may do
everything, so no role has rights of his here.
"""

from collections.abc import Mapping
from typing import NamedTuple

SERVICE = "ostatok_service"
"""The schema that the ledgers of a database share: see migrations/service.sql."""


class Rights(NamedTuple):
    """What GRANT is told for each of the two, separated by commas; "" for nothing.

    A right on one column of a table is written as ``UPDATE (column)``.
    """

    stream: str = ""
    http: str = ""


USAGE = Rights(stream="USAGE", http="USAGE")
"""On both schemas."""

DATABASE = Rights(stream="CONNECT, TEMPORARY", http="CONNECT")
"""A worker's batch lies in a temporary table before it is applied."""

LEDGER: Mapping[str, Rights] = {
    # A log: what is written stays.
    "payment": Rights(stream="SELECT, INSERT", http="SELECT"),
    "balance_log": Rights(stream="SELECT, INSERT", http="SELECT"),
    "duplicate": Rights(stream="SELECT, INSERT", http="SELECT"),
    # A body is emptied by the owner alone (docs/data.md).
    "dead_letter": Rights(stream="SELECT, INSERT", http="SELECT"),
    # Each payment changes a balance. None is ever taken away.
    "organization": Rights(stream="SELECT, INSERT, UPDATE", http="SELECT"),
    # `migrate` makes the rows.
    "applied_offset": Rights(stream="SELECT, UPDATE", http="SELECT"),
    "replayed": Rights(stream="SELECT, INSERT", http="SELECT"),
    # For migrations and rebuilds, which the owner runs.
    "alembic_version": Rights(),
    "held_back": Rights(),
    # Functions.
    "chain": Rights(stream="EXECUTE"),
    # Called by `chain`, and by triggers: nobody needs a right for that.
    "chain_link": Rights(),
    "refuse_change": Rights(),
}
"""Of the ledger's schema, and of that which a rebuild makes beside it."""

OF_SERVICE: Mapping[str, Rights] = {
    # What operators decide, over HTTP or by `ostatok dead-letters`.
    "dead_letter_decision": Rights(http="SELECT, INSERT"),
    # What commands leave that run as a worker does: `ostatok audit`, `replay`, `topic backup`.
    "operator_run": Rights(stream="SELECT, INSERT", http="SELECT"),
    # What was denied and what was done: a log.
    "trail": Rights(http="SELECT, INSERT"),
    # Operators make tokens and users, by commands that the owner runs. http lets them in.
    "token": Rights(http="SELECT, UPDATE (last_used_at)"),
    "console_user": Rights(http="SELECT, UPDATE (password_hash)"),
    "console_session": Rights(http="SELECT, INSERT, DELETE, UPDATE (seen_at)"),
    "login_failure": Rights(http="SELECT, INSERT, UPDATE, DELETE"),
    # Called by a trigger.
    "refuse_change": Rights(),
    # Functions, which change a row of theirs as the owner: see migrations/service.sql.
    "end_run": Rights(stream="EXECUTE"),
    "drop_old_runs": Rights(stream="EXECUTE"),
}
"""Of what no rebuild makes anew. An identity column needs no right on its sequence."""
