"""The command about the roles of Postgres."""

import click


@click.command()
def roles() -> None:
    """Print the SQL that makes the roles of Postgres, for an administrator to run.

    They are those of OSTATOK_DATABASE_ROLE_MIGRATE, …_STREAM and …_HTTP. `migrate` gives them
    their rights in the ledger, each time.
    """
    from ostatok.settings import load  # noqa: PLC0415
    from ostatok_db.roles import script  # noqa: PLC0415

    click.echo(script(load().database_roles), nl=False)
