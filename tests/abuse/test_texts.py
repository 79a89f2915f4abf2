"""Texts that want to be HTML, SQL, a template or a formula: they stay what they are, texts."""

import csv
import io
import uuid
from html.parser import HTMLParser

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace
from support.operators import letter
from support.pages import INN, get, post
from support.pages import start as start_console
from support.payments import TOPIC_ID, batch, entry, payment
from support.services import Rows
from support.webhooks import Serve, of_database

from ostatok.journal import DeadLetter, Entry, Record
from ostatok.settings import Settings
from ostatok_db.ledger import Ledger

HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table><script src=//evil.example></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}${7*7}<%= 7*7 %>",
    "'; DROP TABLE payment; --",
    "' OR '1'='1",
    "\\'; SELECT pg_sleep(9); --",
    "%s %(inn)s %n {0.__class__}",
    "\u202egnp.exe\u2066\u200f",
    "＜script＞alert(1)＜/script＞",
    "<!--<script>",
    "&lt;script&gt;&#60;b&#62;",
    "]]><b>x</b>",
    "=HYPERLINK(1)",
)
PARTITION = 3
FIRST_LETTER = 100
TABLES = 6
DANGEROUS = {"img", "iframe", "object", "embed", "base", "b", "meta"}


class Parts(HTMLParser):
    """What a browser would take a page for."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note what is shown."""
        self.text += data

    def check(self) -> None:
        """See that all of it is ours."""
        for tag, attributes in self.tags:
            assert tag not in DANGEROUS or "charset" in attributes or "name" in attributes, tag
            assert not [name for name in attributes if name.startswith("on")], attributes
            for name in ("href", "src", "action"):
                target = attributes.get(name)
                assert target is None or target.startswith(("/", "#")), target
                assert target is None or not target.startswith("//"), target
            if tag == "script":
                assert (attributes.get("src") or "").startswith("/console/static/")


def hostile_payment(number: int, text: str) -> Entry:
    """A payment with the text wherever a bank, or who writes to the topic, can put one."""
    paid = payment(inn=INN, document_number=text[:50], operation_id=str(uuid.UUID(int=number)))
    made = entry(paid, number, partition=PARTITION)
    return replace(made, source=text, request_id=text)


def hostile_letter(number: int, text: str) -> DeadLetter:
    """A dead letter with the text in its body, its key, its headers and their names."""
    value = text.encode()
    made = letter(FIRST_LETTER + number, text, value, PARTITION)
    record = Record(PARTITION, FIRST_LETTER + number, 0, value, value, [(text, value)])
    return replace(made, record=record)


@pytest.fixture
async def hostile(serve: Serve, database: Settings, ledger: Ledger) -> ClientSession:
    """Give a client of a console on a ledger that is full of them."""
    entries = [hostile_payment(number, text) for number, text in enumerate(HOSTILE)]
    again = [
        replace(hostile_payment(number, text[::-1]), offset=50 + number)
        for number, text in enumerate(HOSTILE)
    ]
    letters = [hostile_letter(number, text) for number, text in enumerate(HOSTILE)]
    await ledger.apply(batch(*entries, *again, dead=letters, first=0, topic_id=TOPIC_ID))
    return await start_console(serve, database)


async def test_no_page_of_the_console_is_written_by_others(hostile: ClientSession) -> None:
    """Each text is shown to the letter, in every place where it is shown, and none is more."""
    operations = [f"/operations/{uuid.UUID(int=number)}/" for number in range(len(HOSTILE))]
    letters = [f"/dead-letters/{PARTITION}:{FIRST_LETTER + n}/" for n in range(len(HOSTILE))]
    conflicts = [f"/conflicts/{PARTITION}:{50 + number}/" for number in range(len(HOSTILE))]
    pages = ["/", "/dead-letters/", "/conflicts/", "/organizations/", f"/organizations/{INN}/"]
    shown = ""
    for path in (*pages, *operations, *letters, *conflicts, "/recovery/"):
        status, page, headers = await get(hostile, path)
        assert status == 200, path
        assert "script-src 'self'" in headers["Content-Security-Policy"], path
        parts = Parts(page)
        parts.check()
        assert "4949" not in parts.text, path
        if path in letters:
            assert HOSTILE[letters.index(path)] in parts.text, path
        if path in operations:
            assert HOSTILE[operations.index(path)][:50] in parts.text, path
        shown += parts.text
    assert not [text for text in HOSTILE if text[:50] not in shown]


async def test_what_is_asked_for_is_not_written_into_a_page_either(
    hostile: ClientSession, rows: Rows
) -> None:
    """Searches, filters, addresses and choices; and none of it is SQL."""
    for text in HOSTILE:
        for path in ("/search/?q=", "/organizations/?prefix=", "/dead-letters/?reason=", "/x?to="):
            async with hostile.get("/console" + path, params={"q": text, "to": text}) as answer:
                assert answer.status < 500, (path, text)
                Parts(await answer.text()).check()
                assert "evil" not in answer.headers.get("Location", "")
        async with hostile.get(
            "/console/theme/dark", params={"to": text}, allow_redirects=False
        ) as answer:
            assert answer.headers["Location"] == "/console/"
    ((left,),) = rows(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'ostatok' AND tablename IN ('payment', "
        "'organization', 'balance_log', 'duplicate', 'dead_letter', 'applied_offset')"
    )
    assert left == TABLES
    ((paid,),) = rows("SELECT count(*) FROM payment")
    assert paid == len(HOSTILE)


async def test_what_an_operator_writes_is_a_text_too(hostile: ClientSession) -> None:
    """His name and his reason, in the decision and in the cookie that remembers the name."""
    for number, text in enumerate(HOSTILE):
        position = f"{PARTITION}:{FIRST_LETTER + number}"
        form = {"position": position, "action": "discard", "by": text, "because": text}
        status, page = await post(hostile, form)
        assert status in {200, 303, 400}, text
        Parts(page).check()
        _, page, _ = await get(hostile, f"/dead-letters/{position}/")
        parts = Parts(page)
        parts.check()
        if status != 400:
            assert parts.text.count(text) >= 3, text


FORMULAS = ("=1+1", "+7", "-7", "@SUM(A1)", "＝1+1", "－1", "＋1", "＠A1", "=cmd|' /C calc'!A0")
PLAIN = ("PAY-328", "7=7", "'=1", "a,b", 'a"b', "№ 5")


async def test_a_statement_opened_as_a_table_computes_nothing(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """A document number that begins as a formula does is a text, by the sign that tables have.

    JSON, which nobody opens as a table, has it as it is.
    """
    numbers = (*FORMULAS, *PLAIN)
    paid = [
        entry(payment(inn=INN, document_number=text), offset, partition=PARTITION)
        for offset, text in enumerate(numbers)
    ]
    await ledger.apply(batch(*paid, first=0))
    client = await serve(**of_database(database), read_wait_seconds=0)
    path = f"/api/organizations/{INN}/statement/"
    async with client.get(path, params={"format": "csv"}) as answer:
        table = list(csv.DictReader(io.StringIO(await answer.text())))
    expected = [f"'{text}" for text in FORMULAS] + list(PLAIN)
    assert [row["document_number"] for row in table] == expected
    async with client.get(path) as answer:
        found = (await answer.json())["entries"]
    assert [one["document_number"] for one in found] == list(numbers)
