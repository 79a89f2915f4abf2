"""Roles of Postgres that may do less than the owner of the ledger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from pydantic import SecretStr

from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.roles import script

Ask = Callable[[str, str], list[TupleRow]]
"""Runs a statement as the role of a part, and gives the rows if it gives any."""


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


ROLES = {"database_role_stream": "ostatok_stream", "database_role_http": "ostatok_http"}
PASSWORD = "of each role"  # of a Postgres that lives as long as the tests


def with_roles(settings: Settings) -> Settings:
    """Settings that name roles, and those roles, made as an administrator would make them.

    They have no rights in the ledger before the next ``migrate``.
    """
    named = settings.model_copy(update=ROLES)
    with psycopg.connect(conninfo(settings, name="test"), autocommit=True) as administrator:
        administrator.execute(script(named.database_roles).encode())
        for name in ROLES.values():
            give_password(administrator, name)
    return named


def give_password(administrator: psycopg.Connection[TupleRow], role: str) -> None:
    """Let a role in."""
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), PASSWORD)
    administrator.execute(statement)


def as_role(settings: Settings, role: str) -> Settings:
    """The settings of a process that is connected as a role."""
    url = make_conninfo(settings.database_url.get_secret_value(), user=role, password=PASSWORD)
    return settings.model_copy(update={"database_url": SecretStr(url)})


def as_part(settings: Settings, part: str) -> Settings:
    """The settings of a process of a part, connected as that part's role."""
    role = settings.database_roles[part]
    assert role is not None
    return as_role(settings, role)
