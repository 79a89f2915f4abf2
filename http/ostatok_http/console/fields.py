"""The fields of the console's forms, read from an address or from what was posted."""

import re
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from ostatok.payment import EARLIEST, LATEST
from ostatok_db.browsing import Place
from ostatok_http import parameters

_match_local = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
).fullmatch


def digits(least: int, most: int) -> Callable[[str], str]:
    """Read some digits, as of an INN or of its beginning; spaces around them do not count."""

    def parse(text: str) -> str:
        text = text.strip()
        if not least <= len(text) <= most or not (text.isascii() and (text.isdigit() or not text)):
            raise ValueError(f"must be {least} to {most} digits")
        return text

    return parse


def local_moment(zone: ZoneInfo) -> Callable[[str], datetime | None]:
    """Read a time as a form's field gives it, in a zone; nothing in it is no time."""

    def parse(text: str) -> datetime | None:
        if not text:
            return None
        if _match_local(text):
            moment = datetime.fromisoformat(text).replace(tzinfo=zone)
            if EARLIEST <= moment < LATEST:
                return moment
            raise ValueError("must lie between 1990 and 2100")
        # What an API's address has may be pasted here.
        return parameters.moment(text)

    return parse


def cursor_of(received_at: datetime, partition: int, offset: int) -> str:
    """Write where a list of records goes on; :func:`place` reads it."""
    return f"{received_at.isoformat()}~{partition}:{offset}"


def place(text: str) -> Place:
    """Read where a list of records goes on."""
    moment, _, position = text.partition("~")
    return datetime.fromisoformat(moment), *parameters.position(position)
