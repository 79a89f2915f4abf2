"""What the console lists is found by an index: dead letters and conflicts.

Both are few, so the indexes cost the stream nothing that can be measured.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add indexes alone."""
    op.execute("""
        CREATE INDEX dead_letter_received ON dead_letter (topic, received_at, partition, "offset")
    """)
    op.execute("""
        CREATE INDEX duplicate_conflict
            ON duplicate (topic, received_at, partition, "offset") WHERE outcome = 'conflict'
    """)
    op.execute("""
        CREATE INDEX duplicate_conflict_inn
            ON duplicate (inn, received_at, partition, "offset") WHERE outcome = 'conflict'
    """)
