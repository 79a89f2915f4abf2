"""JSON schemas of what stands in many places: in addresses, headers, bodies and records.

The patterns and limits are those that the code reads by.
"""

from typing import Any

from ostatok.journal import POSITION_PATTERN, RFC3339_PATTERN
from ostatok.payment import (
    AMOUNT_PATTERN,
    BODY_BYTES_MAX,
    CONTROL_CHARACTER,
    DATE_PATTERN,
    DEPTH_MAX,
    DOCUMENT_NUMBER_CHARACTERS_MAX,
    EARLIEST,
    FIELD_NAMES,
    INN_PATTERN,
    LATEST,
    OPERATION_ID_PATTERN,
)

Schema = dict[str, Any]

ISO_8601 = "iso-8601"
"""The format of a date and time as a bank or an address may write it: more than RFC 3339 allows."""


def whole(pattern: str) -> str:
    """A pattern that the whole of a text has to match: in JSON Schema a part would do."""
    return f"^(?:{pattern})$"


_CONTROL = CONTROL_CHARACTER.pattern[1:-1]

INN: Schema = {"type": "string", "pattern": whole(INN_PATTERN), "examples": ["1234567890"]}
OPERATION_ID: Schema = {
    "type": "string",
    "format": "uuid",
    "pattern": whole(OPERATION_ID_PATTERN),
    "examples": ["ccf0a86d-041b-4991-bcf7-e2352f7b8a4a"],
}
POSITION: Schema = {"type": "string", "pattern": whole(POSITION_PATTERN), "examples": ["7:4711"]}
MOMENT: Schema = {
    "type": "string",
    "format": ISO_8601,
    "pattern": whole(DATE_PATTERN),
    "examples": ["2024-04-27T21:00:00Z"],
}
TIMESTAMP: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": whole(RFC3339_PATTERN),
    "examples": ["2026-04-27T21:00:00.000000Z"],
}
DIFFERENCE_FIELDS = tuple(name for name in FIELD_NAMES if name != "operation_id")
"""The fields in which two records of an operation can differ."""


def words(most: int) -> Schema:
    """What a person wrote: at most so many characters, not all of them spaces."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": most,
        "pattern": rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$",
    }


PAYMENT: Schema = {
    "title": "Payment",
    "type": "object",
    "description": (
        "A payment as the bank announces it. Other fields are ignored, and kept in the journal "
        "with the rest of the body. Also: UTF-8, no key twice, nested at most "
        f"{DEPTH_MAX} deep, at most {BODY_BYTES_MAX} bytes."
    ),
    "required": list(FIELD_NAMES),
    "properties": {
        "operation_id": {
            **OPERATION_ID,
            "description": "The bank's UUID of the operation, in any case: it makes repeating safe",
        },
        "amount": {
            "description": (
                "Rubles, as a number or a string: at most 13 digits, then at most 2 decimals; no "
                "exponent, greater than 0. Kept exactly as it is written, never as a float."
            ),
            "anyOf": [
                {"type": "number", "minimum": 0.01, "maximum": 9_999_999_999_999.99},
                {"type": "string", "pattern": f"^(?=.*[1-9])(?:{AMOUNT_PATTERN})$"},
            ],
            "examples": [145000, "145000.00"],
        },
        "payer_inn": {
            **INN,
            "description": "The payer's INN: 10 digits (an organization) or 12 (a person).",
        },
        "document_number": {
            "type": "string",
            "minLength": 1,
            "maxLength": DOCUMENT_NUMBER_CHARACTERS_MAX,
            "pattern": f"^[^{_CONTROL}]*$",
            "examples": ["PAY-328"],
        },
        "document_date": {
            **MOMENT,
            "description": (
                "The bank's clock: the date of the payment document, ISO 8601, in the years "
                f"{EARLIEST.year} to {LATEST.year - 1}; without a zone it is UTC."
            ),
        },
    },
    "examples": [
        {
            "operation_id": "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a",
            "amount": 145000,
            "payer_inn": "1234567890",
            "document_number": "PAY-328",
            "document_date": "2024-04-27T21:00:00Z",
        }
    ],
}
"""The body of a webhook, which is also the value of a record. What no schema can say is in the
descriptions; :func:`ostatok.payment.parse` is the rule."""
