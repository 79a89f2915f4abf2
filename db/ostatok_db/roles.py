"""The roles of Postgres besides the owner: they are given what rights.py says, and no more."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ostatok.errors import LedgerError
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok_db.queries import queries
from ostatok_db.rights import DATABASE, LEDGER, OF_SERVICE, SERVICE, USAGE, Rights

Connection = psycopg.Connection[TupleRow]

_MAKE_THEM = "`ostatok roles` prints the SQL that makes it, for an administrator to run."


class _Role(NamedTuple):
    """A role that a setting names."""

    part: str
    name: str

    @property
    def setting(self) -> str:
        return f"{PREFIX}DATABASE_ROLE_{self.part.upper()}"

    def of(self, rights: Rights) -> frozenset[str]:
        """What of some rights is this role's."""
        return frozenset(right for right in getattr(rights, self.part).split(", ") if right)


def require_owner(connection: Connection, settings: Settings) -> None:
    """See that what this session makes belongs to the role that the setting names, if it does.

    Raises :class:`LedgerError`.
    """
    wanted = settings.database_role_migrate
    ((is_,),) = connection.execute(queries["read_session_role"]).fetchall()
    if wanted is not None and is_ != wanted:
        raise LedgerError(
            f"The role {is_} is connected, and the ledger belongs to {wanted}: "
            f"{PREFIX}DATABASE_ROLE_MIGRATE.",
            hint=f"{PREFIX}DATABASE_URL must have the owner's name and password here.",
        )


def grant(connection: Connection, settings: Settings) -> None:
    """Give the roles of the settings what they need in the schema of the settings, and no more.

    In one transaction, which writes nothing when all is right. Without any such role nothing is
    changed. Raises :class:`LedgerError` when one is not there, or may do more, whoever it has that
    from.
    """
    roles = [
        _Role(part, name)
        for part, name in settings.database_roles.items()
        if name is not None and part != "migrate"
    ]
    if not roles:
        return
    listed = {settings.database_schema: LEDGER, SERVICE: OF_SERVICE}
    with connection.transaction():
        _require_there(connection, roles)
        for role in roles:
            _grant_database(connection, role)
        _grant_schemas(connection, roles, listed)
        for role in roles:
            _require_no_more(connection, role, listed)


def _require_there(connection: Connection, roles: Sequence[_Role]) -> None:
    rows = connection.execute(
        queries["read_known_roles"], {"roles": [one.name for one in roles]}
    ).fetchall()
    known = {name: (is_owner, may_become_owner) for name, is_owner, may_become_owner in rows}
    for role in roles:
        if role.name not in known:
            raise LedgerError(
                f"Postgres has no role {role.name}, which {role.setting} names.", hint=_MAKE_THEM
            )
        is_owner, may_become_owner = known[role.name]
        if is_owner:
            raise LedgerError(
                f"{role.setting} names {role.name}, who owns the ledger and can do everything.",
                hint=_MAKE_THEM.replace("makes it", "makes another"),
            )
        if may_become_owner:
            raise LedgerError(
                f"The role {role.name} of {role.setting} is a superuser, or a member of the role "
                "that owns the ledger: nothing could be refused to it.",
                hint=_MAKE_THEM.replace("makes it", "makes one that is neither"),
            )


def _grant_database(connection: Connection, role: _Role) -> None:
    """Give what is missing on the database, where this session may: else an administrator must."""
    values = {"role": role.name, "wanted": sorted(role.of(DATABASE))}
    ((database, may_grant, missing),) = connection.execute(
        queries["read_database"], values
    ).fetchall()
    if not missing:
        return
    if not may_grant:
        raise LedgerError(
            f"The role {role.name} needs {', '.join(missing)} on the database {database}, which "
            "only the database's owner can give.",
            hint=_MAKE_THEM.replace("makes it", "gives it"),
        )
    statement = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
        _listed(missing), sql.Identifier(database), sql.Identifier(role.name)
    )
    connection.execute(statement)


def _grant_schemas(
    connection: Connection, roles: Sequence[_Role], listed: Mapping[str, Mapping[str, Rights]]
) -> None:
    """Make every right in the schemas what it should be, and PUBLIC's none."""
    by_name = {role.name: role for role in roles}
    rows = connection.execute(
        queries["read_rights"], {"schemas": list(listed), "roles": ["", *by_name]}
    ).fetchall()
    for schema, name, called, role, held in rows:
        rights = listed[schema].get(name, Rights()) if name else USAGE
        wanted = by_name[role].of(rights) if role else frozenset()
        if wanted == set(held):
            continue
        whom = sql.Identifier(role) if role else sql.SQL("PUBLIC")
        # As the server itself has quoted it.
        what = sql.SQL(called)
        connection.execute(sql.SQL("REVOKE ALL ON {} FROM {} CASCADE").format(what, whom))
        if wanted:
            given = sql.SQL("GRANT {} ON {} TO {}")
            connection.execute(given.format(_listed(sorted(wanted)), what, whom))


def _require_no_more(
    connection: Connection, role: _Role, listed: Mapping[str, Mapping[str, Rights]]
) -> None:
    """See that the role has no right to change anything from elsewhere, such as another role."""
    granted = [
        f"{schema}.{name} {right}"
        for schema, tables in listed.items()
        for name, rights in tables.items()
        for right in role.of(rights)
    ]
    values = {"role": role.name, "schemas": list(listed), "granted": granted}
    for (excess,) in connection.execute(queries["read_excess"], values).fetchall():
        raise LedgerError(
            f"The role {role.name} of {role.setting} has {excess} from elsewhere, and should not.",
            hint="A role that it is a member of has that right, or somebody gave it.",
        )


def _listed(rights: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(right) for right in rights)


_SCRIPT = """\
-- The roles of Ostatok in Postgres. An administrator runs this in the ledger's database:
--
--     ostatok roles | psql -v ON_ERROR_STOP=1 "$ADMINISTRATORS_URL"
--
-- It makes what is missing, and can be run again. It gives nobody a password: in psql
-- `\\password <role>` does, and sends it hashed. Where roles are not made by SQL (in Yandex Managed
-- PostgreSQL by `yc managed-postgresql user create`, or in the console), make them there first;
-- what is left here the owner of the database may run. Then `ostatok migrate` gives each what it
-- needs in the ledger.

BEGIN;
"""


def script(named: Mapping[str, str | None]) -> str:
    """Give the SQL that makes roles, part → name, for an administrator to run.

    It holds no password. Raises :class:`LedgerError` when none is named besides the owner.
    """
    roles = [_Role(part, name) for part, name in named.items() if name is not None]
    if not any(role.part != "migrate" for role in roles):
        raise LedgerError(
            f"Neither {PREFIX}DATABASE_ROLE_STREAM nor {PREFIX}DATABASE_ROLE_HTTP names a role.",
            hint="Set both, to ostatok_stream and ostatok_http for instance; for a ledger that is "
            f"there already also {PREFIX}DATABASE_ROLE_MIGRATE, to the role that owns it.",
        )
    pieces = [_SCRIPT, *(_made(role) for role in roles), *(_let_in(role) for role in roles)]
    return "".join([*pieces, _NO_TABLES_OF_OTHERS, "\nCOMMIT;\n"])


def _made(role: _Role) -> str:
    name = sql.Identifier(role.name).as_string(None)
    text = sql.Literal(role.name).as_string(None)
    return f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN
        CREATE ROLE {name} LOGIN;
    END IF;
END
$$;
"""


def _let_in(role: _Role) -> str:
    rights = (
        "CONNECT, CREATE, TEMPORARY" if role.part == "migrate" else getattr(DATABASE, role.part)
    )
    text = sql.Literal(role.name).as_string(None)
    return f"""
DO $$
BEGIN
    EXECUTE format('GRANT {rights} ON DATABASE %I TO %I', current_database(), {text});
END
$$;
"""


_NO_TABLES_OF_OTHERS = """
-- Everybody may fill the disk with temporary tables by default. Leave this out if others use this
-- database who need them.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
"""
