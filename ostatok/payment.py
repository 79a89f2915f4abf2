"""The payment and its grammar: the one place that says which bytes are a payment.

The receiver and the stream call the same :func:`parse`, so what one answered 200 the other applies.
The grammar is frozen: a record in the journal must mean the same for ever, whatever the settings
and whatever the Python that reads it.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from stdnum.ru import inn as inn_checks

from ostatok.errors import InvalidPayment

BODY_BYTES_MAX = 65_536
DEPTH_MAX = 32
DOCUMENT_NUMBER_CHARACTERS_MAX = 50
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2101, 1, 1, tzinfo=UTC)
"""No date of a payment lies before EARLIEST, or at or after LATEST."""
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Payment(msgspec.Struct, frozen=True):
    """One payment as the bank announced it."""

    operation_id: str
    """The bank's UUID, canonical: lower case, 8-4-4-4-12. The idempotency key."""
    amount: Decimal
    """Rubles, greater than 0, at most two decimals, exact."""
    inn: str
    """The payer's INN, 10 digits (an organization) or 12 (a person)."""
    document_number: str
    """1 to 50 characters, none of them a control character."""
    document_date: datetime
    """The payment document's date, in UTC, 1990 to 2100."""


class _Number(str):
    """The text of a JSON number, kept as it was written: money never passes through a float."""

    __slots__ = ()


def parse(body: bytes) -> Payment:
    """Read a webhook's body.

    Raises :class:`InvalidPayment` naming every field that is wrong; never anything else.
    """
    return _read_usual(body) or _read_any(body)


def _read_any(body: bytes) -> Payment:
    """Read a body however it is written, and name what is wrong."""
    document = _read_json(body)
    reasons: dict[str, str] = {}
    values: list[Any] = []
    for name, read in _FIELDS:
        try:
            values.append(read(document[name]))
        except KeyError:
            reasons[name] = "is missing"
        except ValueError as error:
            reasons[name] = str(error)
    if reasons:
        raise InvalidPayment(reasons)
    return Payment(*values)


def operation_id_of(body: bytes) -> str | None:
    """Give the operation id of a body that is no payment; None when it has none that is one."""
    try:
        return _operation_id(_read_json(body)["operation_id"])
    except (InvalidPayment, KeyError, ValueError):
        return None


def has_valid_check_digits(inn: str) -> bool:
    """Say whether the INN's check digits are right; asked by the receiver, never of a record."""
    return bool(inn_checks.is_valid(inn))


def is_operation_id(text: str) -> bool:
    """Say whether a text has the form of an operation id."""
    return _match_operation_id(text) is not None


def read_moment(text: str) -> datetime:
    """Read a date as a body writes it, in UTC. Raises ValueError, saying what would be right."""
    return _document_date(text)


def is_inn(text: str) -> bool:
    """Say whether a text has the form of an INN."""
    return _match_inn(text) is not None


def masked(inn: str) -> str:
    """The INN as it may stand in a log: a person's (12 digits) loses its middle."""
    return f"{inn[:4]}******{inn[-2:]}" if len(inn) == 12 else inn


def _read_json(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise InvalidPayment({"": f"is longer than {BODY_BYTES_MAX} bytes"})
    try:
        text = body.decode()
        _refuse_deep(text)
        document = _decode(text)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise InvalidPayment({"": "is not valid UTF-8"}) from None
    except UnicodeEncodeError:
        raise InvalidPayment({"": "contains half of a surrogate pair"}) from None
    except json.JSONDecodeError:
        # Without the parser's words: they differ between versions of Python, and a dead letter's
        # reason is part of the ledger.
        raise InvalidPayment({"": "is not JSON"}) from None
    except ValueError as error:
        raise InvalidPayment({"": str(error)}) from None
    if not isinstance(document, dict):
        raise InvalidPayment({"": "is not a JSON object"})
    return document


_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def _refuse_deep(text: str) -> None:
    """Limit the nesting, the same for every Python: its own recursion limit differs by version."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token.group():
            case "[" | "{":
                depth += 1
                if depth > DEPTH_MAX:
                    raise ValueError(f"is nested more than {DEPTH_MAX} deep")
            case "]" | "}":
                depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("has the same key twice")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"contains {name}, which is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=_refuse_constant,
).decode

# [0-9] everywhere: \d and str.isdigit would let in the digits of every other script. The documents
# of the API and of the topic show these patterns.
OPERATION_ID_PATTERN = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
AMOUNT_PATTERN = r"(?:0|[1-9][0-9]{0,12})(?:\.[0-9]{1,2})?"
INN_PATTERN = r"[0-9]{10}(?:[0-9]{2})?"
DATE_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])?)?"
)
_match_operation_id = re.compile(OPERATION_ID_PATTERN).fullmatch
_match_amount = re.compile(AMOUNT_PATTERN).fullmatch
_match_inn = re.compile(INN_PATTERN).fullmatch
_match_date = re.compile(DATE_PATTERN).fullmatch


def _operation_id(value: object) -> str:
    if type(value) is not str or not _match_operation_id(value):
        raise ValueError("must be a UUID written as 8-4-4-4-12 hexadecimal digits")
    return value.lower()


def _amount(value: object) -> Decimal:
    if not isinstance(value, str) or not _match_amount(value):
        raise ValueError("must be rubles: at most 13 digits, a point and at most 2 decimals")
    return _rubles(value)


def _rubles(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount:
        raise ValueError("must be greater than 0")
    return amount


def _inn(value: object) -> str:
    if type(value) is not str or not _match_inn(value):
        raise ValueError("must be a string of 10 or 12 digits")
    return value


def _document_number(value: object) -> str:
    if type(value) is not str or not 1 <= len(value) <= DOCUMENT_NUMBER_CHARACTERS_MAX:
        raise ValueError(f"must be a string of 1 to {DOCUMENT_NUMBER_CHARACTERS_MAX} characters")
    if CONTROL_CHARACTER.search(value):
        raise ValueError("must not contain control characters")
    return value


def _document_date(value: object) -> datetime:
    if type(value) is not str or not _match_date(value):
        raise ValueError("must be an ISO 8601 date and time, such as 2024-04-27T21:00:00Z")
    return _moment(value)


def _moment(text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date of the calendar") from None
    if (
        EARLIEST.year - 1 <= date.year <= LATEST.year
    ):  # So that going to UTC can't leave the range of datetime.
        date = date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
        if EARLIEST <= date < LATEST:
            return date
    raise ValueError("must lie in the years 1990 to 2100")


_FIELDS: tuple[tuple[str, Callable[[object], Any]], ...] = (
    ("operation_id", _operation_id),
    ("amount", _amount),
    ("payer_inn", _inn),
    ("document_number", _document_number),
    ("document_date", _document_date),
)
FIELD_NAMES = tuple(name for name, _ in _FIELDS)


def _usual_body() -> re.Pattern[str]:
    """A body as banks write it: the five fields in their order, no other, nothing escaped."""
    space = r"[ \t\n\r]*"
    values = {
        "operation_id": f'"({OPERATION_ID_PATTERN})"',
        "amount": f'("?)({AMOUNT_PATTERN})\\2',
        "payer_inn": f'"({INN_PATTERN})"',
        "document_number": rf'"([^"\\\x00-\x1f\x7f-\x9f]{{1,{DOCUMENT_NUMBER_CHARACTERS_MAX}}})"',
        "document_date": f'"({DATE_PATTERN})"',
    }
    fields = (f'{space}"{name}"{space}:{space}{value}{space}' for name, value in values.items())
    return re.compile(rf"{space}\{{{','.join(fields)}\}}{space}")


_match_usual_body = _usual_body().fullmatch


def _read_usual(body: bytes) -> Payment | None:
    """Read a body as banks write it, a third of the work of reading any; None for all others.

    What it reads, :func:`_read_any` reads the same: the patterns of the fields are those.
    """
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        found = _match_usual_body(body.decode())
        if found is None:
            return None
        operation_id, _, amount, inn, document_number, date = found.groups()
        return Payment(operation_id.lower(), _rubles(amount), inn, document_number, _moment(date))
    except ValueError:
        return None
