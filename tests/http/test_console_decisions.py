"""Decisions about dead letters by the console's forms, without a browser."""

import pytest
from aiohttp import ClientSession
from support.operators import three_letters
from support.pages import get, post, start
from support.payments import batch
from support.services import Rows
from support.webhooks import RecordingJournal, Serve

from ostatok.settings import Settings
from ostatok_db.ledger import Ledger
from ostatok_http.console import letters

FORM = {"by": "Дежурный", "action": "discard", "because": "a test", "position": "7:2"}


async def test_a_decision_is_taken_from_our_own_page_alone(
    console: ClientSession, rows: Rows
) -> None:
    """Not from another site's, whatever of the two headers the browser sends."""
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await post(console, FORM, **headers))[0] == 403
    async with console.post("/console/dead-letters/", data=FORM) as answer:
        assert answer.status == 403
    for origin, status in (("https://evil.example", 403), ("null", 403)):
        async with console.post(
            "/console/dead-letters/", data=FORM, headers={"Origin": origin}
        ) as answer:
            assert answer.status == status
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]
    own = str(console._base_url)
    async with console.post(
        "/console/dead-letters/", data=FORM, headers={"Origin": own.rstrip("/")}
    ) as answer:
        assert answer.status == 200
    decided = rows("SELECT decided_by, reason FROM ostatok_service.dead_letter_decision")
    assert decided == [("Дежурный", "a test")]


async def test_without_operators_it_can_be_looked_at_alone(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """No form to decide, and nobody to take one that was made by hand."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    client = await start(serve, database, http_operators=False)
    _, text, _ = await get(client, "/dead-letters/7:2/")
    assert "<textarea" not in text
    assert "OSTATOK_HTTP_OPERATORS" in text
    assert (await post(client, FORM))[0] == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"by": ""}, "by"),
        ({"by": "x" * 101}, "by"),
        ({"action": "burn"}, "action"),
        ({"because": ""}, "because"),
        ({"action": "redrive"}, "because"),
        ({"other": "x"}, "other"),
        ({"position": ""}, None),
        ({"action": "correct", "body": "{", "because": ""}, None),
    ],
)
async def test_a_wrong_form_decides_nothing(
    console: ClientSession, rows: Rows, changes: dict[str, str], field: str | None
) -> None:
    """Its fields are named; what fails of one letter is said beside it."""
    status, text = await post(console, {**FORM, **changes})
    assert status == (400 if field else 200)
    if field:
        assert f'<span class="mono">{field}</span>' in text
    else:
        assert "not done:" in text
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]


async def test_many_are_decided_about_one_after_another(console: ClientSession, rows: Rows) -> None:
    """What can't be done of one does not keep the others, and is said."""
    form = [*FORM.items(), ("position", "7:1"), ("position", "7:9"), ("position", "7:2")]
    status, text = await post(console, form)
    assert (status, text.count("not done:")) == (200, 2)
    assert rows("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(2,)]
    many = [*FORM.items(), *[("position", "7:1")] * letters.BULK_MAX]
    assert (await post(console, many))[0] == 400


async def test_a_bulk_decision_ends_with_the_first_who_is_away(
    serve: Serve, database: Settings, ledger: Ledger
) -> None:
    """The rest is not tried, one wait after another, while the operator has given up long ago."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    nowhere = f"{database.database_url.get_secret_value().rpartition('/')[0]}/none"
    client = await start(serve, database, database_url=nowhere)
    form = [("action", "redrive"), ("by", "me"), *[("position", f"7:{at}") for at in (1, 2, 3)]]
    status, text = await post(client, form)
    assert (status, text.count("not done:"), text.count("not tried:")) == (200, 1, 2)


async def test_one_is_published_again_from_here(
    serve: Serve, database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """The same bytes go to the journal, and both places are named."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    journal = RecordingJournal()
    client = await start(serve, database, journal=journal)
    status, text = await post(client, {"action": "redrive", "by": "me", "position": "7:1"})
    assert (status, "redriven" in text) == (200, True)
    assert len(journal.records) == 1
    assert rows("SELECT new_offset IS NOT NULL FROM ostatok_service.dead_letter_decision") == [
        (True,)
    ]
