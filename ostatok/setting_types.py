"""The kinds of values that settings have. Each says what would be right of what is not."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field


def _is_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a zone of the IANA database, such as Europe/Moscow") from None
    return name


Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Timezone = Annotated[str, AfterValidator(_is_timezone)]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,48}$")]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
