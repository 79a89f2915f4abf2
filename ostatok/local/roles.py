"""The roles of the embedded Postgres besides its owner, with passwords of their own."""

import psycopg
from psycopg import sql

from ostatok.local.postgres import ROLE, ROLES, EmbeddedPostgres
from ostatok_db.roles import script


async def make(postgres: EmbeddedPostgres) -> None:
    """Make those that are missing, as `ostatok roles` would, and let each in with its password.

    Postgres must answer. A folder made by a version that knew the owner alone gets them too, and a
    password file that was lost is a new password.
    """
    connection = await psycopg.AsyncConnection.connect(postgres.database_url, autocommit=True)
    async with connection:
        await connection.execute(script(ROLES).encode())
        for part, role in ROLES.items():
            if role == ROLE:
                continue
            # Hashed here: a statement can get into the server's log.
            password = connection.pgconn.encrypt_password(
                postgres.password_of(part).encode(), role.encode(), b"scram-sha-256"
            )
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(role), password.decode()
            )
            await connection.execute(statement)
