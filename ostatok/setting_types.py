"""The kinds of values that settings have. Each says what would be right of what is not."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

PATH_CHARACTERS_MAX = 250

PREFIX = "OSTATOK_"
"""How the environment variable of each setting begins."""


def _is_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a zone of the IANA database, such as Europe/Moscow") from None
    return name


def _are_parts(text: str) -> str:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if not set(names) <= set(get_args(Part)):
        raise ValueError("must be some of webhook, api and console, separated by commas")
    return ",".join(names)


def _are_networks(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(
                "must be networks such as 10.0.0.0/8, with no bit set behind the prefix"
            ) from None
    return ",".join(names)


def is_file(path: Path | None) -> Path | None:
    """Give a path that there is a file at, or None. Raises ValueError."""
    if path is None:
        return None
    text = str(path)
    # A key itself, in the place of its file, is not repeated.
    if not text.isprintable() or len(text) > PATH_CHARACTERS_MAX:
        raise ValueError("must be the path of a readable file")
    if not path.is_file():
        raise ValueError(f"must be a readable file; there is none at {text}")
    return path


def _is_free(name: str) -> str:
    if name.startswith("pg_") or name.lower() in _NO_ROLES:
        raise ValueError(f"must be a name that Postgres does not keep for itself, not {name}")
    return name


_NO_ROLES = frozenset({"public", "none", "current_user", "current_role", "session_user", "user"})
"""What GRANT or SET ROLE takes for something else, or an administrator's script may."""

Part = Literal["webhook", "api", "console"]
"""What an http process can answer."""
ALL_PARTS = ",".join(get_args(Part))

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Timezone = Annotated[str, AfterValidator(_is_timezone)]
Networks = Annotated[str, AfterValidator(_are_networks)]
Served = Annotated[str, AfterValidator(_are_parts)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,48}$")]
# Not only what needs no quotes: managed servers make names such as ostatok-http, or a@b.iam.
Role = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]{0,62}$"), AfterValidator(_is_free)]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
