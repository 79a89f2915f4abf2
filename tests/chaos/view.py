"""What the harness itself sees of the ledger and the topic, past the proxies."""

from typing import Any

import psycopg

from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.connection import conninfo

DIGEST = """
    SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t"""

# What a second reader of the offsets can't be sure to see: every change, however short.
WATCH = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.went_back (partition integer, before bigint, after bigint);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.went_back VALUES (OLD.partition, OLD.next_offset, NEW.next_offset);
    RETURN NULL;
END
$$;
CREATE TRIGGER went_back AFTER UPDATE ON ostatok.applied_offset FOR EACH ROW
    WHEN (NEW.next_offset < OLD.next_offset) EXECUTE FUNCTION chaos.note();
"""

SET_BACK = """
ALTER TABLE ostatok.applied_offset DISABLE TRIGGER went_back;
UPDATE ostatok.applied_offset SET next_offset = 0
"""


class View:
    """Looks into both services. Everything here blocks, and raises when they are away."""

    def __init__(self, settings: Settings) -> None:
        self._conninfo = conninfo(settings, name="chaos")
        self._schema = settings.database_schema
        self._topic = Topic(settings)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Give the rows of a statement."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            return connection.execute(statement.encode(), values or None).fetchall()

    def run(self, statement: str) -> None:
        """Run a statement without rows."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(statement.encode())

    def ends(self) -> dict[int, int]:
        """Give the end of each partition."""
        described = self._topic.describe()
        assert described is not None
        held = self._topic.ranges(range(described[1]))
        return {partition: one.end for partition, one in held.items()}

    def offsets(self, schema: str = "ostatok") -> dict[int, int]:
        """Give the stored offset of each partition."""
        return dict(self.sql(f"SELECT partition, next_offset FROM {schema}.applied_offset"))

    def digests(self) -> dict[str, tuple[int, str]]:
        """Give of each table of the ledger how many rows it has and what they come to."""
        tables = self.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> %s",
            self._schema,
            "alembic_version",
        )
        found = {table: self.sql(DIGEST.format(table=table)) for (table,) in tables}
        return {table: (rows[0][0], rows[0][1]) for table, rows in found.items()}
