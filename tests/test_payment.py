"""The grammar of a payment."""

import json
import string
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.payments import README_PAYMENT, document

from ostatok import payment
from ostatok.errors import InvalidPayment
from ostatok.payment import DEPTH_MAX, has_valid_check_digits, masked, parse

amount_texts = st.builds(
    lambda whole, decimals: f"{whole}{decimals}",
    st.integers(0, 10**13 - 1).map(str),
    st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=2).map(lambda d: f".{d}")),
).filter(lambda text: Decimal(text) > 0)


def encoded(**changes: Any) -> bytes:
    """A body with some fields changed."""
    return json.dumps(document(**changes), ensure_ascii=False).encode()


def with_amount(text: str) -> bytes:
    """A body whose amount is written as ``text``, letter for letter."""
    return encoded(amount="@").replace(b'"@"', text.encode())


def test_the_readme_payment_is_read() -> None:
    """The example of the contract means what it says."""
    paid = parse(json.dumps(README_PAYMENT).encode())
    assert paid.operation_id == "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a"
    assert paid.amount == Decimal(145000)
    assert paid.inn == "1234567890"
    assert paid.document_number == "PAY-328"
    assert paid.document_date == datetime(2024, 4, 27, 21, 0, tzinfo=UTC)


@given(amount_texts, st.booleans())
def test_an_amount_is_kept_digit_for_digit(text: str, quoted: bool) -> None:
    """Number or string, what is accepted is what was written: no float ever comes near it."""
    paid = parse(with_amount(f'"{text}"' if quoted else text))
    assert isinstance(paid.amount, Decimal)
    assert str(paid.amount) == str(Decimal(text))


@given(st.text() | st.floats().map(repr) | st.decimals().map(str) | st.integers().map(str))
def test_no_other_amount_is_taken(text: str) -> None:
    """Whatever text stands for the amount, it is of the grammar or it is refused."""
    try:
        paid = parse(encoded(amount=text))
    except InvalidPayment as error:
        assert set(error.reasons) <= {"amount", ""}
    else:
        whole, _, decimals = text.partition(".")
        assert set(whole + decimals) <= set(string.digits)
        assert len(whole) <= 13
        assert len(decimals) <= 2
        assert paid.amount == Decimal(text) > 0


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_a_payment_or_refused(body: bytes) -> None:
    """Nothing but InvalidPayment ever comes out of the parser."""
    with pytest.raises(InvalidPayment):
        parse(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.sampled_from(sorted(README_PAYMENT)),
)
def test_a_field_of_any_json_is_taken_or_named(value: object, field: str) -> None:
    """A wrong field is refused by its own name."""
    body = json.dumps(document(**{field: value})).encode()
    try:
        parse(body)
    except InvalidPayment as error:
        assert set(error.reasons) <= {field, ""}


@given(st.datetimes(datetime(1990, 1, 2), datetime(2100, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_a_date_is_the_same_moment_in_utc(moment: datetime) -> None:
    """Whatever zone the bank writes, the moment is kept to the microsecond."""
    offset = moment.utcoffset()
    text = moment.isoformat()
    if offset is None or offset.total_seconds() % 60:
        return  # ISO 8601 has no seconds in a zone.
    paid = parse(encoded(document_date=text))
    # In its own zone it might be the hour that autumn repeats, which equals nothing.
    assert paid.document_date == moment.astimezone(UTC)
    assert paid.document_date.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2024-04-27", datetime(2024, 4, 27, tzinfo=UTC)),
        ("2024-04-27T21:00", datetime(2024, 4, 27, 21, tzinfo=UTC)),
        ("2024-04-27 21:00:00", datetime(2024, 4, 27, 21, tzinfo=UTC)),
        ("2024-04-28T00:00:00+03:00", datetime(2024, 4, 27, 21, tzinfo=UTC)),
        ("2024-04-28T00:00:00.5+0300", datetime(2024, 4, 27, 21, 0, 0, 500_000, tzinfo=UTC)),
        ("1990-01-01T00:00:00Z", datetime(1990, 1, 1, tzinfo=UTC)),
        ("2100-12-31T23:59:59.999999Z", datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_dates_that_are_taken(text: str, meaning: datetime) -> None:
    """No zone means UTC; seconds and their fractions may be left out."""
    assert parse(encoded(document_date=text)).document_date == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-02-30T00:00:00Z",
        "2024-04-27T24:00:00Z",
        "2024-04-27T23:59:60Z",
        "2024-04-27T21:00:00.1234567Z",
        "20240427T210000Z",
        "2024-W17-6",
        "2024-04-27T21:00:00+15:00",
        "1989-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "1990-01-01T00:00:00+03:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "２０２４-04-27T21:00:00Z",
    ],
)
def test_dates_that_are_refused(text: str) -> None:
    """What another Python version would read otherwise is no date for any."""
    with pytest.raises(InvalidPayment) as refused:
        parse(encoded(document_date=text))
    assert set(refused.value.reasons) == {"document_date"}


def test_every_wrong_field_is_named() -> None:
    """The sender learns all that is wrong at once."""
    with pytest.raises(InvalidPayment) as refused:
        parse(encoded(amount=0, payer_inn="12", operation_id=None))
    assert set(refused.value.reasons) == {"amount", "payer_inn", "operation_id"}


@given(
    amount_texts,
    st.booleans(),
    st.text() | st.text('\\"/№\x7f ', max_size=20) | st.integers(45, 55).map("№".__mul__),
    st.integers(0, 200),
    st.text(max_size=2) | st.sampled_from(['"', "\\", "{", "}", ",", " ", "\n", "0", "é", "1e5"]),
    st.integers(0, 2),
)
def test_both_readers_read_the_same(
    amount: str, quoted: bool, number: str, at: int, put: str, lost: int
) -> None:
    """The quick reader of usual bodies knows no payment that the other does not, and no other."""
    text = with_amount(f'"{amount}"' if quoted else amount).decode()
    text = text.replace('"PAY-328"', json.dumps(number, ensure_ascii=False))
    for body in (text, text[:at] + put + text[at + lost :]):
        try:
            wanted = payment._read_any(body.encode("utf-8", "surrogatepass"))
        except InvalidPayment:
            wanted = None
        assert payment._read_usual(body.encode("utf-8", "surrogatepass")) in {None, wanted}


@pytest.mark.parametrize("amount", [145000, "145000.00"])
def test_a_usual_body_is_read_quickly(amount: object) -> None:
    """The README's payment takes the quick way, with a number for an amount or a string."""
    body = encoded(amount=amount, operation_id=README_PAYMENT["operation_id"].upper())
    assert payment._read_usual(body) == payment._read_any(body)


def test_unknown_fields_are_ignored() -> None:
    """A bank may add fields."""
    paid = parse(encoded(purpose="Оплата 😀 по счёту \\u0000", nested={"a": [1, 2.5, None]}))
    assert paid.inn == "1234567890"


@pytest.mark.parametrize("depth", [DEPTH_MAX - 1, DEPTH_MAX])
def test_nesting_has_a_limit_of_ours(depth: int) -> None:
    """Not the interpreter's: that differs between versions."""
    body = encoded(extra="@").replace(b'"@"', b"[" * depth + b"]" * depth)
    if depth < DEPTH_MAX:
        parse(body)
    else:
        with pytest.raises(InvalidPayment, match="nested"):
            parse(body)


def test_brackets_in_a_string_are_no_nesting() -> None:
    """Only structure counts."""
    assert parse(encoded(extra='[{"' * 100)).inn == "1234567890"


def test_check_digits() -> None:
    """The example fails them, a real INN does not."""
    assert not has_valid_check_digits("1234567890")
    assert has_valid_check_digits("7707083893")
    assert has_valid_check_digits("500100732259")


def test_a_person_is_masked() -> None:
    """12 digits are a person's: the middle is hidden, an organization's number is public."""
    assert masked("770412345608") == "7704******08"
    assert masked("7707083893") == "7707083893"
