"""Whatever became of an operation is found by its id: its repeats, and its dead records."""

from alembic import op

from ostatok.payment import operation_id_of

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Index both, and tell of the dead records that are there which operation they name."""
    op.execute("CREATE INDEX duplicate_operation ON duplicate (operation_id)")
    op.execute("ALTER TABLE dead_letter ADD COLUMN operation_id uuid")
    op.execute("""
        COMMENT ON COLUMN dead_letter.operation_id IS
            'what the value names; null when it names none, or the value was emptied before'
    """)
    # Psycopg's own connection: SQLAlchemy would read a % as a parameter's place.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None  # noqa: S101  # there is one for as long as Alembic runs
    with connection.cursor("dead_letters") as letters:
        letters.execute(
            'SELECT value, topic, partition, "offset" FROM dead_letter WHERE value IS NOT NULL'
        )
        for value, *position in letters:
            connection.execute(
                "UPDATE dead_letter SET operation_id = %s "
                'WHERE topic = %s AND partition = %s AND "offset" = %s',
                (operation_id_of(value), *position),
            )
    op.execute("""
        CREATE INDEX dead_letter_operation ON dead_letter (operation_id)
            WHERE operation_id IS NOT NULL
    """)
