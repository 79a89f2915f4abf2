"""Everything that is no payment, and what the sender hears of it."""

import json

import pytest
from aiohttp import ClientSession
from support.webhooks import (
    GOOD,
    JSON,
    PAYMENT,
    PROBLEM,
    WEBHOOK,
    RecordingJournal,
    changed,
    raw,
    without,
)

BAD: dict[str, tuple[bytes, set[str]]] = {
    "not JSON": (b"operation_id=1", {""}),
    "half of the JSON": (GOOD[:-1], {""}),
    "two documents": (GOOD + GOOD, {""}),
    "a list": (b"[" + GOOD + b"]", {""}),
    "a string": (b'"payment"', {""}),
    "null": (b"null", {""}),
    "a number": (b"1", {""}),
    "empty body": (b"", {""}),
    "blank body": (b" \n", {""}),
    "empty object": (b"{}", set(PAYMENT)),
    "invalid UTF-8": (GOOD.replace(b"PAY-328", b"PAY-\xff"), {""}),
    "UTF-16": (GOOD.decode().encode("utf-16"), {""}),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, {""}),
    "lone surrogate": (GOOD.replace(b"PAY-328", rb"PAY-\ud800"), {""}),
    "lone surrogate in an unknown field": (GOOD[:-1] + rb', "x": "\udfff"}', {""}),
    "nested 10,000 deep": (GOOD[:-1] + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", {""}),
    "the same key twice": (GOOD[:-1] + b', "amount": 1}', {""}),
    "the same unknown key twice": (GOOD[:-1] + b', "x": 1, "x": 1}', {""}),
    "NaN": (raw("amount", "NaN"), {""}),
    "Infinity": (raw("amount", "Infinity"), {""}),
    "-Infinity": (raw("amount", "-Infinity"), {""}),
    "NaN in an unknown field": (GOOD[:-1] + b', "x": NaN}', {""}),
    "NaN as a string": (raw("amount", '"NaN"'), {"amount"}),
    "1e400": (raw("amount", "1e400"), {"amount"}),
    "1E2": (raw("amount", "1E2"), {"amount"}),
    "0": (raw("amount", "0"), {"amount"}),
    "0.00": (raw("amount", "0.00"), {"amount"}),
    "negative": (raw("amount", "-1"), {"amount"}),
    "minus zero": (raw("amount", "-0"), {"amount"}),
    "three decimals": (raw("amount", "1.001"), {"amount"}),
    "three decimals, the last 0": (raw("amount", "1.000"), {"amount"}),
    "14 integer digits": (raw("amount", "10000000000000"), {"amount"}),
    "4,000 digits": (raw("amount", "9" * 4_000), {"amount"}),
    "underscore": (raw("amount", '"1_000"'), {"amount"}),
    "plus sign": (raw("amount", '"+1"'), {"amount"}),
    "space": (raw("amount", '" 1"'), {"amount"}),
    "line feed": (raw("amount", '"1\\n"'), {"amount"}),
    "leading zero": (raw("amount", '"007"'), {"amount"}),
    "no integer digit": (raw("amount", '".5"'), {"amount"}),
    "no decimal": (raw("amount", '"5."'), {"amount"}),
    "comma": (raw("amount", '"5,5"'), {"amount"}),
    "Arabic digits": (changed(amount="١٤٥"), {"amount"}),
    "amount is a bool": (raw("amount", "true"), {"amount"}),
    "amount is a list": (raw("amount", "[1]"), {"amount"}),
    "amount is an object": (raw("amount", '{"rub": 1}'), {"amount"}),
    "amount is empty": (raw("amount", '""'), {"amount"}),
    "INN of 9 digits": (changed(payer_inn="1" * 9), {"payer_inn"}),
    "INN of 11 digits": (changed(payer_inn="1" * 11), {"payer_inn"}),
    "INN of 13 digits": (changed(payer_inn="1" * 13), {"payer_inn"}),
    "INN with a letter": (changed(payer_inn="12345678X0"), {"payer_inn"}),
    "INN with a space": (changed(payer_inn="123456789 "), {"payer_inn"}),
    "INN and a line feed": (changed(payer_inn="1234567890\n"), {"payer_inn"}),
    "INN in Arabic digits": (changed(payer_inn="١٢٣٤٥٦٧٨٩٠"), {"payer_inn"}),
    "INN as a number": (changed(payer_inn=1234567890), {"payer_inn"}),
    "operation_id is text": (changed(operation_id="one"), {"operation_id"}),
    "operation_id is a number": (changed(operation_id=1), {"operation_id"}),
    "operation_id without dashes": (changed(operation_id="a" * 32), {"operation_id"}),
    "operation_id in braces": (
        changed(operation_id="{ccf0a86d-041b-4991-bcf7-e2352f7b8a4a}"),
        {"operation_id"},
    ),
    "date is text": (changed(document_date="yesterday"), {"document_date"}),
    "date is a number": (changed(document_date=1714251600), {"document_date"}),
    "31 February": (changed(document_date="2024-02-31T00:00:00Z"), {"document_date"}),
    "25 o'clock": (changed(document_date="2024-04-27T25:00:00Z"), {"document_date"}),
    "year 1": (changed(document_date="0001-01-01T00:00:00+14:00"), {"document_date"}),
    "year 1989": (changed(document_date="1989-12-31T23:59:59Z"), {"document_date"}),
    "year 2101": (changed(document_date="2101-01-01T00:00:00Z"), {"document_date"}),
    "nanoseconds": (changed(document_date="2024-04-27T21:00:00.000000001Z"), {"document_date"}),
    "document_number empty": (changed(document_number=""), {"document_number"}),
    "document_number 51 long": (changed(document_number="x" * 51), {"document_number"}),
    "document_number with NUL": (changed(document_number="PAY\0"), {"document_number"}),
    "document_number is a number": (changed(document_number=328), {"document_number"}),
    "two fields wrong": (changed(amount=0, payer_inn="1"), {"amount", "payer_inn"}),
    **{f"{field} missing": (without(field), {field}) for field in PAYMENT},
    **{f"{field} null": (changed(**{field: None}), {field}) for field in PAYMENT},
}


@pytest.mark.parametrize(("body", "fields"), BAD.values(), ids=BAD)
async def test_what_is_no_payment_is_refused(
    client: ClientSession, journal: RecordingJournal, body: bytes, fields: set[str]
) -> None:
    """It gets the 400 of the contract to the letter, and nothing of it is in the journal."""
    async with client.post(WEBHOOK, data=body, headers=JSON) as answer:
        assert (answer.status, await answer.read()) == (400, b'{"error": "Invalid data"}')
        assert answer.content_type == "application/json"
    async with client.post(WEBHOOK, data=body, headers=JSON | PROBLEM) as answer:
        problem = json.loads(await answer.read())
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["reason"] for error in problem["errors"])
    assert problem["type"] == "urn:ostatok:problem:invalid"
    assert problem["status"] == 400
    assert journal.records == []
