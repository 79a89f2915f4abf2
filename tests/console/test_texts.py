"""Every text of the console is there in both languages, and each is used."""

import re
import string
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import ostatok_http.console
from ostatok_http.console.fields import local_moment
from ostatok_http.console.formats import Formats
from ostatok_http.console.raw import SHOWN_BYTES_MAX, Raw
from ostatok_http.console.texts import LANGUAGES, Speaker, preferred, texts
from ostatok_http.refusals import Refusal

FOLDER = Path(ostatok_http.console.__file__).parent
SOURCES = [*FOLDER.rglob("*.html"), *FOLDER.glob("*.py")]
LITERAL = re.compile(r'"([a-z]+\.[a-z_0-9]+)"')
PREFIX = re.compile(r'"([a-z]+\.[a-z_]*)" [~+]')
"""Of a text whose name ends with a value."""
ZONE = ZoneInfo("Europe/Moscow")


def said() -> str:
    """All templates and all code."""
    return "\n".join(path.read_text("utf-8") for path in SOURCES)


def test_each_text_is_said_in_both_languages_with_the_same_values() -> None:
    """None is empty, and a value has its place in each."""
    for name, languages in texts().items():
        assert set(languages) == set(LANGUAGES), name
        fields = [
            {field for _, field, _, _ in string.Formatter().parse(text) if field}
            for text in languages.values()
        ]
        assert fields[0] == fields[1], name
        assert all(text.strip() for text in languages.values()), name


def test_each_text_that_is_asked_for_is_there_and_no_other() -> None:
    """Those whose names are put together are known by how they begin."""
    source = said()
    prefixes = set(PREFIX.findall(source))
    parts = {name.partition(".")[0] for name in texts()}
    asked = {name for name in LITERAL.findall(source) if name.partition(".")[0] in parts}
    missing = asked - set(texts()) - prefixes - {"console.html"}
    assert not {one for one in missing if not one.endswith((".html", ".css", ".js", ".svg"))}
    unused = {name for name in set(texts()) - asked if not any(map(name.startswith, prefixes))}
    assert not unused


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en-US,en;q=0.9,ru;q=0.8", "en"),
        ("de, ru;q=0.1", "ru"),
        ("de,fr;q=0.5", "en"),
        ("ru;q=0, en;q=0.1", "en"),
        ("ru;q=zero", "en"),
        ("", "en"),
    ],
)
def test_the_browser_says_which_language(accept: str, language: str) -> None:
    """The one it weighs most of the two; English when it wants neither."""
    assert preferred(accept) == language


def test_money_and_numbers_are_exact_in_both_languages() -> None:
    """No digit is lost, however long the amount is."""
    big = Decimal("12345678901234567890123456.78")
    assert Formats("en", ZONE).money(big) == "12,345,678,901,234,567,890,123,456.78\u00a0₽"
    grouped = "12 345 678 901 234 567 890 123 456,78 ₽".replace(" ", "\u00a0")
    assert Formats("ru", ZONE).money(big) == grouped


def test_times_are_those_of_the_zone() -> None:
    """For people in the zone of the setting, for machines in UTC."""
    moment = datetime(2026, 4, 27, 21, 0, 0, 5, UTC)
    russian = Formats("ru", ZONE)
    assert ">28.04.2026 00:00:00</time>" in russian.moment(moment)
    assert 'datetime="2026-04-27T21:00:00.000005Z">' in russian.moment(moment)
    assert ">2026-04-28 00:00:00.000005</time>" in Formats("en", ZONE).moment(moment, exact=True)
    assert russian.zone_name == "Europe/Moscow, UTC+03:00"


def test_a_time_of_the_other_half_of_the_year_says_its_offset() -> None:
    """Where clocks are changed; where they are not the foot of the page says it once."""
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime.now(berlin)
    other = now.replace(month=1 if now.dst() else 7, day=15)
    assert f"UTC+0{1 if now.dst() else 2}:00</time>" in Formats("en", berlin).moment(other)
    assert "UTC" not in Formats("en", berlin).moment(now)
    assert "UTC" not in Formats("en", ZONE).moment(other)


def test_a_body_that_is_cut_is_still_text() -> None:
    """Also when it is cut within a character; and nobody takes it for the whole."""
    raw = Raw("ж".encode() * SHOWN_BYTES_MAX)
    assert raw.is_cut
    assert raw.text == "ж" * (SHOWN_BYTES_MAX // 2)
    assert (Raw(b"x" + "ж".encode() * SHOWN_BYTES_MAX).text or "").endswith("ж")
    assert Raw(b"\xff").text is None
    assert Raw(b"\xd0").text is None
    assert "00000  ff" in Raw(b"\xff").hexadecimal


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-28T00:00", datetime(2026, 4, 27, 21, 0, tzinfo=UTC)),
        ("2026-04-28", datetime(2026, 4, 27, 21, 0, tzinfo=UTC)),
        ("2026-04-28T00:00:00Z", datetime(2026, 4, 28, 0, 0, tzinfo=UTC)),
        ("", None),
    ],
)
def test_a_forms_time_is_of_the_zone(text: str, moment: datetime | None) -> None:
    """Unless it says which it is of itself."""
    assert local_moment(ZONE)(text) == moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3_600, "1 h 0 min"), (90_061, "1 d 1 h")],
)
def test_lengths_of_time_have_two_units(seconds: float, text: str) -> None:
    """The two greatest that there are."""
    assert Formats("en", ZONE).duration(seconds) == text


def test_each_status_that_the_error_page_names_has_its_texts() -> None:
    """Title and text; any other status gets the refusal's own words."""
    template = (FOLDER / "templates/error.html").read_text("utf-8")
    for status in re.findall(r"\d{3}", template):
        for name in (f"error.title_{status}", f"error.text_{status}"):
            assert Speaker("ru")(name)
    assert Refusal.__struct_fields__  # the template uses its status and detail
