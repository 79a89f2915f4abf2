"""The parameters of an address: each is read by its name, and every wrong one is named.

Endpoints declare theirs as :class:`Parameter`; by the same declarations they are read here, and
described in the API's document.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from multidict import MultiMapping

from ostatok.errors import InvalidParameters
from ostatok.journal import read_position
from ostatok.payment import CONTROL_CHARACTER, is_operation_id, read_moment
from ostatok_http import schemas
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


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a parameter can be: how its text is read, and the JSON schema of what can be read."""

    parse: Callable[[str], T]
    schema: Mapping[str, Any]

    def __call__(self, text: str) -> T:
        """Read a text. Raises ValueError, saying what would be right."""
        return self.parse(text)


D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T, D]):
    """One parameter of an endpoint."""

    name: str
    kind: Kind[T]
    description: str
    default: D
    """What is meant when it is not there; None when that has no value."""
    example: str | None = None

    def of(self, query: "Parameters") -> T | D:
        """Read it; the default when it is not there, or wrong."""
        found = query.read(self.name, self.kind)
        return self.default if found is None else found


def optional(
    name: str, kind: Kind[T], description: str, example: str | None = None
) -> Parameter[T, None]:
    """A parameter that may be left out, and means nothing then."""
    return Parameter(name, kind, description, None, example)


def names_of(parameters: Iterable[Parameter[Any, Any]]) -> list[str]:
    """The names of parameters, as :class:`Parameters` is told them."""
    return [one.name for one in parameters]


def _moment(text: str) -> datetime:
    try:
        return read_moment(text)
    except ValueError as error:
        # What becomes of a + that was not written %2B.
        hint = "; in an address a + is written %2B" if " " in text else ""
        raise ValueError(f"{error}{hint}") from None


moment = Kind(_moment, schemas.MOMENT)
"""A date and time."""


def period(
    query: Parameters, parse: Callable[[str], datetime | None] = moment
) -> tuple[datetime | None, datetime | None]:
    """Read ``from``, which is included, and ``to``, which is not; either may be left out."""
    since, until = query.read("from", parse), query.read("to", parse)
    if since and until and since > until:
        query.refuse("to", "must not be before from")
    return since, until


def _position(text: str) -> Position:
    return Position(*read_position(text))


position = Kind(_position, schemas.POSITION)
"""A place in the journal, as receipts name it."""


def _operation_id(text: str) -> str:
    if not is_operation_id(text):
        raise ValueError("must be a UUID written as 8-4-4-4-12 hexadecimal digits")
    return text.lower()


operation_id = Kind(_operation_id, schemas.OPERATION_ID)


def _flag(text: str) -> bool:
    return one_of("true", "false")(text) == "true"


flag = Kind(_flag, {"type": "boolean"})
"""True or false."""


def words(most: int) -> Kind[str]:
    """What a person wrote: at most so many characters."""

    def parse(text: str) -> str:
        if not text.strip() or len(text) > most or CONTROL_CHARACTER.search(text):
            raise ValueError(f"must be 1 to {most} characters, none of them a control character")
        try:
            text.encode()
        except UnicodeEncodeError:  # What was no UTF-8 in a header is half of a surrogate pair.
            raise ValueError("must be UTF-8") from None
        return text

    return Kind(parse, schemas.words(most))


def number(least: int, most: int) -> Kind[int]:
    """A whole number between two."""

    def parse(text: str) -> int:
        if not _match_number(text) or not least <= int(text) <= most:
            raise ValueError(f"must be a number from {least} to {most}")
        return int(text)

    return Kind(parse, {"type": "integer", "minimum": least, "maximum": most})


def one_of(*words: str) -> Kind[str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return Kind(parse, {"type": "string", "enum": list(words)})
