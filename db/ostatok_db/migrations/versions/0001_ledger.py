"""The ledger."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the plain SQL beside this folder."""
    statements = Path(__file__).parents[1].joinpath("0001_ledger.sql").read_text(encoding="utf-8")
    # Psycopg's own connection: SQLAlchemy would read a % as a parameter's place.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None  # noqa: S101  # there is one for as long as Alembic runs
    connection.execute(statements)
