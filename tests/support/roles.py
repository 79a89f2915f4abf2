"""Roles of Postgres that may do less than the owner of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from pydantic import SecretStr

from ostatok.settings import Settings
from ostatok_db.connection import conninfo


@contextmanager
def role_that_reads(settings: Settings) -> Iterator[Settings]:
    """The settings of somebody who may read the ledger, and nothing else."""
    name = f"reader_{settings.topic.partition('-')[2]}"
    role = sql.Identifier(name)
    with psycopg.connect(conninfo(settings, name="test"), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(role))
        # Who makes a role may give it to others, and to himself, and does not have it by that.
        owner.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        try:
            for grant in ("USAGE ON SCHEMA ostatok", "SELECT ON ALL TABLES IN SCHEMA ostatok"):
                owner.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), role))
            url = settings.database_url.get_secret_value()
            reader = SecretStr(f"{url}?options=-c%20role%3D{name}")
            yield settings.model_copy(update={"database_url": reader})
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))
