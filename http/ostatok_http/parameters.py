"""The parameters of an address: each is read by its name, and every wrong one is named."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from multidict import MultiMapping

from ostatok.errors import InvalidParameters
from ostatok.journal import read_position
from ostatok.payment import CONTROL_CHARACTER, is_operation_id, read_moment
from ostatok_http.ports import Position

T = TypeVar("T")

NUMBER_DIGITS_MAX = 18
"""So that it fits into Postgres's bigint."""

_match_number = re.compile(rf"[0-9]{{1,{NUMBER_DIGITS_MAX}}}").fullmatch


class Parameters:
    """What an address has behind its question mark."""

    def __init__(self, query: MultiMapping[str], *known: str) -> None:
        """Take those that are ``known``; any other is wrong, and so is one given twice."""
        self._query = query
        self._reasons: dict[str, str] = {}
        for name in query:
            if name not in known:
                which = f"there are: {', '.join(known)}" if known else "there are none"
                self._reasons[name] = f"is no parameter here; {which}"
            elif len(query.getall(name)) > 1:
                self._reasons[name] = "is given more than once"

    def read(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Give a parameter; None when it is not there, or wrong, which :meth:`check` will say."""
        text = self._query.get(name)
        if text is None or name in self._reasons:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self._reasons[name] = str(error)
            return None

    def refuse(self, name: str, reason: str) -> None:
        """Say that a parameter is wrong."""
        self._reasons.setdefault(name, reason)

    def check(self) -> None:
        """Raise :class:`InvalidParameters` when any is wrong."""
        if self._reasons:
            raise InvalidParameters(self._reasons)


def moment(text: str) -> datetime:
    """Read a date and time."""
    try:
        return read_moment(text)
    except ValueError as error:
        # What becomes of a + that was not written %2B.
        hint = "; in an address a + is written %2B" if " " in text else ""
        raise ValueError(f"{error}{hint}") from None


def position(text: str) -> Position:
    """Read a place in the journal, as receipts name it."""
    return Position(*read_position(text))


def operation_id(text: str) -> str:
    """Read an operation id."""
    if not is_operation_id(text):
        raise ValueError("must be a UUID written as 8-4-4-4-12 hexadecimal digits")
    return text.lower()


def flag(text: str) -> bool:
    """Read true or false."""
    return one_of("true", "false")(text) == "true"


def words(most: int) -> Callable[[str], str]:
    """Read what a person wrote: at most so many characters."""

    def parse(text: str) -> str:
        if not text.strip() or len(text) > most or CONTROL_CHARACTER.search(text):
            raise ValueError(f"must be 1 to {most} characters, none of them a control character")
        try:
            text.encode()
        except UnicodeEncodeError:  # What was no UTF-8 in a header is half of a surrogate pair.
            raise ValueError("must be UTF-8") from None
        return text

    return parse


def number(least: int, most: int) -> Callable[[str], int]:
    """Read a whole number between two."""

    def parse(text: str) -> int:
        if not _match_number(text) or not least <= int(text) <= most:
            raise ValueError(f"must be a number from {least} to {most}")
        return int(text)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Read one of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return parse
