"""What a bank sends: INNs with right check digits, and bodies that are wrong in every usual way."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
from stdnum.ru import inn as inn_checks


def organization_inn(pick: random.Random) -> str:
    """An organization's INN, 10 digits."""
    number = f"{pick.choice(('77', '78', '50', '66'))}{pick.randrange(10**7):07}"
    return number + inn_checks.calc_company_check_digit(number)


def person_inn(pick: random.Random) -> str:
    """A person's INN, 12 digits."""
    number = f"{pick.choice(('77', '78', '50', '66'))}{pick.randrange(10**8):08}"
    return number + inn_checks.calc_personal_check_digits(number)


Document = dict[str, Any]

_WAYS: tuple[Callable[[Document], bytes], ...] = (
    lambda _: b"",
    lambda _: b"{",
    lambda _: b"[]",
    lambda _: b"\xff\xfe",
    lambda document: msgspec.json.encode(document)[:-9],
    lambda document: msgspec.json.encode({**document, "amount": 0}),
    lambda document: msgspec.json.encode({**document, "amount": -5}),
    lambda document: msgspec.json.encode({**document, "amount": "1.005"}),
    lambda document: msgspec.json.encode({**document, "amount": "NaN"}),
    lambda document: msgspec.json.encode({**document, "amount": None}),
    lambda document: msgspec.json.encode({**document, "payer_inn": "123"}),
    lambda document: msgspec.json.encode({**document, "payer_inn": 1234567890}),
    lambda document: msgspec.json.encode({**document, "operation_id": "1"}),
    lambda document: msgspec.json.encode({**document, "document_number": ""}),
    lambda document: msgspec.json.encode({**document, "document_date": "yesterday"}),
    lambda document: msgspec.json.encode({k: v for k, v in document.items() if k != "amount"}),
)


def bad_body(pick: random.Random, document: Document) -> bytes:
    """A body that must be refused, made of a good one."""
    return pick.choice(_WAYS)(document)


def is_text(body: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
