"""What the service leaves in the audit trail: who was denied what, and who decided what."""

import psycopg
import pytest
from support.operators import DEAD_LETTERS, three_letters
from support.payments import batch
from support.services import Rows
from support.tokens import StartGuarded, bearer, eventually, make_token
from support.webhooks import INN, JSON, RecordingJournal

from ostatok.errors import JournalUnavailable
from ostatok.settings import Settings
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger
from ostatok_http.doors.identity import BALANCE_READ, OPERATOR

OTHER = "7707083893"
BALANCE = f"/api/organizations/{INN}/balance/"


async def test_denials_are_in_the_trail(
    start_guarded: StartGuarded, database: Settings, rows: Rows
) -> None:
    """With the address they came from, who it was if that is known, and why; and no secret."""
    token = make_token(database, BALANCE_READ, inns=[INN])
    client = await start_guarded(http_trusted_proxies="127.0.0.0/8")
    by_proxy = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7", "X-Request-ID": "the-one"}
    wrong = {"Authorization": f"Bearer {token.text[:-2]}AA"}
    await client.get(BALANCE, headers=by_proxy | wrong)
    await client.get(f"/api/organizations/{OTHER}/balance/", headers=by_proxy | bearer(token))
    await client.get(f"/api/organizations/{OTHER}/log", headers=by_proxy | bearer(token))
    statement = (
        "SELECT action, who, reason FROM ostatok_service.trail WHERE kind = 'denied' "
        "AND client = '203.0.113.7' AND request_id = 'the-one' ORDER BY action, who"
    )

    async def are_there() -> bool:
        return len(rows(statement)) == 3

    await eventually(are_there, "the denials")
    assert rows(statement) == [
        ("balance", "", "a token that is unknown, revoked or expired"),
        ("balance", "token crm", "The token is not for this INN."),
        ("log", "token crm", "The token does not have the scope history:read."),
    ]
    assert not rows(
        "SELECT 1 FROM ostatok_service.trail AS t WHERE t::text LIKE %s",
        f"%{token.text[17:40]}%",
    )
    async with client.get("/metrics") as answer:
        page = await answer.text()
    assert 'balance_reads_total{answer="not_allowed"} 1.0' in page


@pytest.mark.parametrize(
    ("said", "by"), [(None, "token crm"), ("Дежурный", "Дежурный, token crm"), ("x" * 101, None)]
)
async def test_a_decision_has_the_tokens_name(
    start_guarded: StartGuarded,
    database: Settings,
    ledger: Ledger,
    rows: Rows,
    said: str | None,
    by: str | None,
) -> None:
    """Who decides is whoever the token is of; a person can be named beside it, not in its place."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    token = make_token(database, OPERATOR)
    client = await start_guarded()
    # By whatever name it is asked for: there is no cookie that another site could use.
    headers = JSON | bearer(token) | {"Host": "ostatok.example"}
    headers |= {} if said is None else {"Ostatok-By": said}
    for path, data in (("7:1/redrive/", b""), ("7:2/discard/", b'{"because": "a test"}')):
        async with client.post(f"{DEAD_LETTERS}/{path}", headers=headers, data=data) as answer:
            assert answer.status == (400 if by is None else 200)
    decided = rows("SELECT decided_by FROM ostatok_service.dead_letter_decision")
    trailed = rows("SELECT action, who, about FROM ostatok_service.trail WHERE kind = 'done'")
    made = ("token create", "test", f"{token.id} (crm): operator")
    if by is None:
        assert (decided, trailed) == ([], [made])
    else:
        assert decided == [(by,), (by,)]
        assert trailed == [made, ("redrive", by, "7:1"), ("discard", by, "7:2")]


async def test_what_can_not_be_written_down_is_not_decided(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """Without the trail a decision is a 503, and nothing is published or discarded."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    token = make_token(database, OPERATOR)
    client = await start_guarded()
    with psycopg.connect(conninfo(database, name="test"), autocommit=True) as owner:
        owner.execute("ALTER TABLE ostatok_service.trail RENAME TO elsewhere")
    for path, data in (("7:1/redrive/", b""), ("7:2/discard/", b'{"because": "a test"}')):
        headers = JSON | bearer(token)
        async with client.post(f"{DEAD_LETTERS}/{path}", headers=headers, data=data) as answer:
            assert answer.status == 503
    assert rows("SELECT 1 FROM ostatok_service.dead_letter_decision") == []


async def test_a_decision_that_failed_says_so_in_the_trail(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger, rows: Rows
) -> None:
    """Nobody reads of a redrive that did not come about without reading that it did not."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    token = make_token(database, OPERATOR)
    client = await start_guarded(journal=RecordingJournal(JournalUnavailable()))
    headers = JSON | bearer(token)
    async with client.post(f"{DEAD_LETTERS}/7:1/redrive/", headers=headers) as answer:
        assert answer.status == 503
    statement = "SELECT kind, action, about FROM ostatok_service.trail WHERE action = 'redrive'"

    async def are_there() -> bool:
        return len(rows(statement)) == 2

    await eventually(are_there, "the failure")
    assert rows(statement) == [("done", "redrive", "7:1"), ("failed", "redrive", "7:1")]
