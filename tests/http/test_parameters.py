"""What an address says behind its question mark, and what is said of it when it is wrong."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict, MultiDict

from ostatok.errors import InvalidParameters
from ostatok_http import parameters
from ostatok_http.parameters import Parameters
from ostatok_http.ports import Position
from ostatok_http.prefer import wait_seconds


def test_each_is_read_by_its_kind() -> None:
    """And what is not there is None."""
    query = Parameters(
        MultiDict(at="2024-04-27T21:00:00Z", position="7:41", limit="10", order="newest"),
        *("at", "position", "limit", "order", "cursor"),
    )
    assert query.read("at", parameters.moment) == datetime(2024, 4, 27, 21, tzinfo=UTC)
    assert query.read("position", parameters.position) == Position(7, 41)
    assert query.read("limit", parameters.number(1, 10)) == 10
    assert query.read("order", parameters.one_of("newest", "oldest")) == "newest"
    assert query.read("cursor", parameters.number(1, 10)) is None
    query.check()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("at", "yesterday", "must be an ISO 8601 date and time, such as 2024-04-27T21:00:00Z"),
        ("at", "2024-04-27T21:00:00 03:00", "in an address a + is written %2B"),
        ("at", "2024-02-30", "must be a date of the calendar"),
        ("position", "7", "must be a partition and an offset, such as 7:4711"),
        ("position", "7:-1", "such as 7:4711"),
        ("position", "7:" + "9" * 19, "such as 7:4711"),
        ("limit", "0", "must be a number from 1 to 10"),
        ("limit", "11", "must be a number from 1 to 10"),
        ("limit", "٣", "must be a number from 1 to 10"),
        ("order", "", "must be newest or oldest"),
        ("form", "x", "is no parameter here; there are: at, position, limit, order"),
    ],
)
def test_each_wrong_one_is_named(name: str, text: str, reason: str) -> None:
    """With what would be right."""
    query = Parameters(MultiDict({name: text}), "at", "position", "limit", "order")
    query.read("at", parameters.moment)
    query.read("position", parameters.position)
    query.read("limit", parameters.number(1, 10))
    query.read("order", parameters.one_of("newest", "oldest"))
    with pytest.raises(InvalidParameters) as raised:
        query.check()
    assert list(raised.value.reasons) == [name]
    assert reason in raised.value.reasons[name]


def test_one_given_twice_is_wrong() -> None:
    """Nobody could say which of the two was meant."""
    query = Parameters(MultiDict([("limit", "1"), ("limit", "2")]), "limit")
    assert query.read("limit", parameters.number(1, 10)) is None
    with pytest.raises(InvalidParameters, match="limit: is given more than once"):
        query.check()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=5"], 5),
        (["WAIT = 5"], 5),
        (['wait="5"'], 5),
        (["respond-async, wait=5; foo=bar"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=3, wait=5"], 3),
        (["wait=0"], 0),
        (["wait=999999"], 30),
        (["wait=" + "9" * 5000], None),
        (["wait"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=²"], None),
        (["waiting=5"], None),
        (["return=minimal"], None),
    ],
)
def test_how_long_a_client_prefers_to_wait(headers: list[str], seconds: float | None) -> None:
    """As RFC 7240 has it; cut to the limit; what can't be understood is passed over."""
    given = CIMultiDict([("prefer", one) for one in headers])
    assert wait_seconds(given, 30) == seconds


@pytest.mark.parametrize(
    "text", ["", " \t", "x" * 6, "a\nb", "a\0", "a\x85", "\udcff", "1\udcff"], ids=ascii
)
def test_what_a_person_wrote_can_be_kept(text: str) -> None:
    """Postgres takes it and a page can show it: no control characters, not empty, real UTF-8."""
    with pytest.raises(ValueError, match="must be"):
        parameters.words(5)(text)
    assert parameters.words(5)("Ёж\u00a0№5") == "Ёж\u00a0№5"
