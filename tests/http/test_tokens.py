"""Readers and operators prove who they are: without a token that works the API tells nothing."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession
from psycopg.rows import TupleRow
from support.operators import DEAD_LETTERS, three_letters
from support.payments import batch, entry, payment
from support.services import Rows
from support.tokens import (
    StartGuarded,
    bearer,
    eventually,
    make_token,
    now,
    revoke,
    status,
)
from support.webhooks import INN, PROBLEM, EmptyLedger, Serve, TheTopic

from ostatok.api_token import NewToken
from ostatok.errors import LedgerUnavailable
from ostatok.settings import Settings
from ostatok_db.dead_letters import DeadLetters
from ostatok_db.history import History
from ostatok_db.ledger import Ledger
from ostatok_db.reading import Standing
from ostatok_http.doors.identity import BALANCE_READ, HISTORY_READ, OPERATOR, SCOPES

OTHER = "7707083893"
OPERATION = "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a"
BALANCE = f"/api/organizations/{INN}/balance/"
PATHS = {
    BALANCE: BALANCE_READ,
    BALANCE[:-1]: BALANCE_READ,
    f"{BALANCE}?at=2026-04-27": HISTORY_READ,
    f"{BALANCE}?position=7:1": HISTORY_READ,
    f"/api/organizations/{INN}/log/": HISTORY_READ,
    f"/api/organizations/{INN}/statement/": HISTORY_READ,
    f"/api/operations/{OPERATION}/": HISTORY_READ,
    f"{DEAD_LETTERS}/": OPERATOR,
    f"{DEAD_LETTERS}/7:1/": OPERATOR,
}
MALFORMED = (
    "/api/organizations/0000000000/balance/",
    "/api/organizations/x/balance/",
    "/api/organizations/%00/balance/",
    "/api/organizations/..%2f..%2fmetrics/balance/",
    "/api/organizations/x/log/",
    f"{BALANCE}?x=1",
    "/api/operations/x/",
    f"{DEAD_LETTERS}/x/",
)
OPEN = ("/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/asyncapi.json", "/api/docs/")


class Untouched(EmptyLedger):
    """A ledger and a history that nobody may ask about anybody."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Note it."""
        self.asked.append(asked)
        return await super().standings(asked)

    async def partitions(self) -> int:
        """Note it."""
        self.asked.append("partitions")
        return await super().partitions()

    def connection(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection[TupleRow]]:
        """Note it."""
        self.asked.append("history")
        raise LedgerUnavailable


async def seen(client: ClientSession, path: str, **headers: str) -> tuple[int, Any, bytes]:
    """What a client sees of an answer, less what differs from one to the next."""
    async with client.get(path, headers=headers) as answer:
        varying = {"X-Request-ID", "Date"}
        shown = {name: text for name, text in answer.headers.items() if name not in varying}
        return answer.status, shown, await answer.read()


@pytest.mark.parametrize("problem", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ost_",
        "Bearer ost_0123456789ab_" + "x" * 43,
        "Basic b3N0OmFiYw==",
        "Bearer \xff\xfe",
    ],
)
async def test_without_a_token_every_address_answers_the_same(
    start_guarded: StartGuarded,
    database: Settings,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    problem: bool,
) -> None:
    """Whether an INN or an operation exists, or is none at all; and nobody was asked about it."""
    asked = Untouched()
    monkeypatch.setattr(DeadLetters, "connect", asked.connection)
    history = History(database, asked)
    client = await start_guarded(ledger=asked, history=history)
    asked.asked.clear()  # What the service asks for itself when it starts.
    headers = PROBLEM if problem else {}
    headers = headers if given is None else {**headers, "Authorization": given}
    answers = [await seen(client, path, **headers) for path in (*PATHS, *MALFORMED)]
    assert answers[1:] == answers[:-1]
    assert answers[0][0] == 401
    is_invalid = given is not None and given.startswith("Bearer ")
    challenge = 'Bearer realm="ostatok"' + (', error="invalid_token"' if is_invalid else "")
    assert answers[0][1]["WWW-Authenticate"] == challenge
    assert asked.asked == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_token_allows_what_its_scope_says(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger, scope: str
) -> None:
    """And nothing else: no scope has another one in it. A 403 names the one that lacks."""
    await ledger.apply(batch(dead=three_letters(), first=0))
    client = await start_guarded()
    token = make_token(database, scope)
    await eventually(lambda: _is_known(client, token), "the token")
    for path, needed in PATHS.items():
        async with client.get(path, headers=bearer(token) | PROBLEM) as answer:
            if needed == scope:
                assert answer.status in {200, 400, 404}, path
            else:
                assert answer.status == 403, path
                problem = await answer.json(content_type=None)
                assert needed in problem["detail"]
                assert "WWW-Authenticate" not in answer.headers


async def _is_known(client: ClientSession, token: NewToken) -> bool:
    return await status(client, BALANCE, token) != 401


async def test_a_token_for_some_inns_tells_nothing_of_others(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger
) -> None:
    """One that exists, one that does not, and what is none are the same 403; nobody is asked."""
    await ledger.apply(batch(entry(payment(inn=OTHER), 0)))
    token = make_token(database, BALANCE_READ, HISTORY_READ, inns=[INN])
    asked = Untouched()
    client = await start_guarded(ledger=asked, history=History(database, asked))
    assert await status(client, BALANCE, token) == 404
    asked.asked.clear()
    for tail in ("balance/", "balance", "balance/?at=2026-04-27", "log/", "statement/", "log/?x=1"):
        paths = (f"/api/organizations/{inn}/{tail}" for inn in (OTHER, "1111111111", "x", "%00"))
        answers = [await seen(client, path, **bearer(token)) for path in paths]
        assert answers[1:] == answers[:-1]
        assert answers[0][0] == 403
    assert asked.asked == []


async def test_an_operation_of_another_inn_is_as_one_that_nobody_knows(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger
) -> None:
    """The same 404, to the byte; also one that a record of another INN names too."""
    mine, foreign, shared = payment(inn=INN), payment(inn=OTHER), payment(inn=INN)
    await ledger.apply(batch(entry(mine, 0), entry(shared, 1)))
    await ledger.apply(batch(entry(foreign, 0)))
    also = payment(inn=OTHER, operation_id=shared.operation_id)
    await ledger.apply(batch(entry(also, 1)))
    token = make_token(database, HISTORY_READ, inns=[INN])
    whole = make_token(database, HISTORY_READ, name="all")
    client = await start_guarded()
    assert await status(client, f"/api/operations/{mine.operation_id}/", token) == 200
    ids = (OPERATION, foreign.operation_id, shared.operation_id)
    paths = [f"/api/operations/{one}/" for one in ids]
    answers = [await seen(client, path, **bearer(token)) for path in paths]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 404
    assert [await status(client, path, whole) for path in paths] == [404, 200, 200]


async def test_so_it_is_while_the_ledger_is_behind(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger
) -> None:
    """When nobody can say of an unknown operation that there is none, nor of one of another INN."""
    mine, foreign = payment(inn=INN), payment(inn=OTHER)
    await ledger.apply(batch(entry(mine, 0)))
    await ledger.apply(batch(entry(foreign, 0)))
    token = make_token(database, HISTORY_READ, inns=[INN])
    client = await start_guarded(view=TheTopic())
    assert await status(client, f"/api/operations/{mine.operation_id}/", token) == 200
    paths = [f"/api/operations/{one}/" for one in (OPERATION, foreign.operation_id)]
    unknown, not_his = [await seen(client, path, **bearer(token)) for path in paths]
    assert unknown == not_his
    assert unknown[0] == 503


async def test_a_token_that_was_made_or_revoked_is_known_at_once(
    start_guarded: StartGuarded, database: Settings
) -> None:
    """A process that runs takes the one and refuses the other; also what it has seen before."""
    client = await start_guarded()
    first = make_token(database, name="first")
    await eventually(lambda: _is_known(client, first), "the first token")
    second = make_token(database, name="second")
    await eventually(lambda: _is_known(client, second), "the second token")
    revoke(database, first)

    async def is_refused() -> bool:
        return await status(client, BALANCE, first) == 401

    await eventually(is_refused, "the revocation")
    assert await status(client, BALANCE, second) == 404


async def test_a_token_ends_when_it_expires(
    start_guarded: StartGuarded, database: Settings
) -> None:
    """On the moment, whenever somebody looks for tokens again."""
    client = await start_guarded()
    token = make_token(database, expires_at=now() + timedelta(seconds=2))
    await eventually(lambda: _is_known(client, token), "the token")

    async def is_refused() -> bool:
        return await status(client, BALANCE, token) == 401

    await eventually(is_refused, "the expiry")


async def test_what_the_database_keeps_opens_nothing(
    start_guarded: StartGuarded, database: Settings, rows: Rows
) -> None:
    """No row has the token's secret, and a token made of what the row has is refused."""
    token = make_token(database)
    client = await start_guarded()
    (kept,) = rows(
        "SELECT token::text, id, encode(hash, 'hex') FROM ostatok_service.token AS token"
    )
    assert not [text for text in kept if token.text[17:] in text]
    _, token_id, hashed = kept
    for text in (hashed, f"ost_{token_id}_{hashed[:43]}", token_id, token.text[:-1] + "!"):
        assert await status(client, BALANCE, NewToken(token_id, text)) == 401
    almost = token.text[:-1] + ("A" if token.text[-1] != "A" else "B")
    assert await status(client, BALANCE, NewToken(token_id, almost)) == 401
    assert await status(client, BALANCE, token) == 404


async def test_without_the_database_nobody_is_let_in(serve: Serve) -> None:
    """Before the tokens were ever loaded it is 503 for who has one, and never open."""
    client = await serve(http_authentication=True, database_url="postgresql://127.0.0.1:1/nothing")
    token = NewToken("0" * 12, f"ost_{'0' * 12}_{'x' * 43}")
    for path in PATHS:
        assert await status(client, path, token) == 503
        assert await status(client, path, None) == 401
    for path in ("/healthz", "/metrics"):
        assert await status(client, path, None) == 200


async def test_what_has_no_data_of_payers_stays_open(
    start_guarded: StartGuarded, database: Settings, ledger: Ledger
) -> None:
    """Documents, health and metrics ask nobody, and name no INN and no operation."""
    paid = payment(inn=OTHER, operation_id="7f0c5d0a-5a1e-4a53-9a53-0c1f2b3d4e5f")
    await ledger.apply(batch(entry(paid, 0)))
    client = await start_guarded()
    token = make_token(database)
    await eventually(lambda: _is_known(client, token), "the token")
    assert await status(client, f"/api/organizations/{OTHER}/balance/", token) == 200
    for path in OPEN:
        async with client.get(path) as answer:
            text = await answer.text()
            assert answer.status in {200, 503}
            assert OTHER not in text
            assert paid.operation_id not in text
            assert token.id not in text


async def test_when_a_token_was_used_is_kept(
    start_guarded: StartGuarded, database: Settings, rows: Rows
) -> None:
    """So that its owner sees which nobody needs; of one that nobody used there is nothing."""
    used, _ = make_token(database), make_token(database, name="idle")
    client = await start_guarded()
    await status(client, BALANCE, used)

    async def is_kept() -> bool:
        found = rows("SELECT id FROM ostatok_service.token WHERE last_used_at IS NOT NULL")
        return found == [(used.id,)]

    await eventually(is_kept, "the last use")
