"""Whatever became of an operation is found by its id: its repeats, and its dead records.

And what got its outcome by a replay, later than the records behind it, is marked.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column, two indexes and a table; migrate fills the column."""
    op.execute("CREATE INDEX duplicate_operation ON duplicate (operation_id)")
    op.execute("ALTER TABLE dead_letter ADD COLUMN operation_id uuid")
    op.execute("""
        COMMENT ON COLUMN dead_letter.operation_id IS
            'what the value names; null when it names none, or the value was emptied'
    """)
    op.execute("""
        CREATE INDEX dead_letter_operation ON dead_letter (operation_id)
            WHERE operation_id IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE replayed (
            topic       text        NOT NULL,
            partition   integer     NOT NULL,
            "offset"    bigint      NOT NULL,
            inn         text,
            replayed_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT replayed_pkey PRIMARY KEY (topic, partition, "offset")
        )
    """)
    op.execute("""
        COMMENT ON TABLE replayed IS
            'Records that a replay gave their outcome, later than those behind them'
    """)
    op.execute("CREATE INDEX replayed_inn ON replayed (inn) WHERE inn IS NOT NULL")
