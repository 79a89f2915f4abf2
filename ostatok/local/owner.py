"""Who runs Postgres: it refuses to run as root."""

import os
import pwd
import stat
from pathlib import Path

from ostatok.errors import LocalError

_ENTER = {"owner": stat.S_IXUSR, "group": stat.S_IXGRP, "others": stat.S_IXOTH}


def user_of(pgdata: Path) -> tuple[int, int] | None:
    """Give the (uid, gid) that Postgres is to run as; None: as whoever we are.

    Root hands it to the owner of the data that is there, else to ``postgres``, else ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and pgdata.stat().st_uid != 0:
        return pgdata.stat().st_uid, pgdata.stat().st_gid
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise LocalError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it.",
        hint="Run this as another user than root.",
    )


def check_can_enter(folder: Path, user: tuple[int, int] | None, what: str) -> None:
    """Raise LocalError naming the first folder on the way to ``folder`` that is closed to ``user``.

    Nothing outside our own data folder is ever opened up for it: that is its owner's decision.
    """
    if user is None:
        return
    resolved = folder.resolve()
    for place in [*reversed(resolved.parents), resolved]:
        if not _can_enter(place, *user):
            name = _name_of(user[0])
            raise LocalError(
                f"PostgreSQL runs as the user {name}, who may not enter {place}, "
                f"and {what} lies in there.",
                hint=f"Move it to where every user may go, or `chmod o+x {place}`, "
                "or run this as another user than root.",
            )


def give(path: Path, user: tuple[int, int] | None) -> None:
    """Make ``user`` the owner of a path of ours."""
    if user is not None:
        os.chown(path, *user)


def _can_enter(folder: Path, uid: int, gid: int) -> bool:
    status = folder.stat()
    if status.st_uid == uid:
        who = "owner"
    elif status.st_gid == gid:
        who = "group"
    else:
        who = "others"
    return bool(status.st_mode & _ENTER[who])


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
