"""What operators decide over HTTP about dead letters, on a real ledger: what, who, and once."""

import asyncio

import pytest
from aiohttp import ClientSession
from support.operators import DEAD_LETTERS, ME, PAID, VALUE, StartOperators, positions, post
from support.payments import PARTITIONS, body
from support.services import WAITING, Rows
from support.system import wait_until
from support.webhooks import INN, JSON, PROBLEM, RecordingJournal, TheTopic

from ostatok.errors import JournalUnavailable


async def test_the_same_bytes_are_redriven_once(
    operators: ClientSession, journal: RecordingJournal
) -> None:
    """Under the right key, naming the dead one; a second time only when it is asked for so."""
    expected = {"position": "7:1", "operation_id": PAID["operation_id"]}
    redriven = {**expected, "decision": "redriven", "new_position": "7:42"}
    assert await post(operators, "/7:1/redrive/") == (200, redriven)
    ((key, value, headers),) = journal.records
    assert (key, value, headers["ostatok-redrives"]) == (INN.encode(), VALUE, b"7:1")
    assert headers["source"] == b"bank"
    said = "The dead letter 7:1 was redriven by Дежурный."
    assert await post(operators, "/7:1/redrive/") == (409, {"error": f"Already decided: {said}"})
    assert (await post(operators, "/7:1/discard", b'{"because": "x"}'))[0] == 409
    status, problem = await post(operators, "/7:1/redrive/", b"", **PROBLEM)
    assert (status, problem["detail"]) == (409, said)
    assert (await post(operators, "/7:1/redrive/?again=true"))[1]["new_position"] == "7:43"
    assert len(journal.records) == 2


async def test_one_that_can_be_no_payment_needs_a_corrected_body(
    operators: ClientSession, journal: RecordingJournal
) -> None:
    """A 422 names what is wrong with its own body, or by field with one that is given."""
    assert await post(operators, "/7:2/redrive/") == (
        422,
        {"error": "Not a payment: is not valid UTF-8"},
    )
    assert (await post(operators, "/7:3/redrive/"))[0] == 422
    status, problem = await post(operators, "/7:2/redrive/", body(amount=0, payer_inn=1), **PROBLEM)
    assert status == 422
    assert {one["field"] for one in problem["errors"]} == {"amount", "payer_inn"}
    assert journal.records == []
    corrected = body(payer_inn=INN)
    status, done = await post(operators, "/7:2/redrive/", corrected)
    assert (status, done["new_position"]) == (200, "7:42")
    assert journal.records[0][1] == corrected


@pytest.mark.parametrize("path", ["/7:1/redrive/", "/7:1/discard/"])
async def test_a_dry_run_does_nothing(
    operators: ClientSession, journal: RecordingJournal, rows: Rows, path: str
) -> None:
    """It says what would be done, and refuses what would be refused."""
    data = b'{"because": "a test"}' if "discard" in path else b""
    status, done = await post(operators, f"{path}?dry_run=true", data)
    assert (status, done["position"], done["decision"]) == (200, "7:1", None)
    assert journal.records == []
    assert rows("SELECT 1 FROM ostatok_service.dead_letter_decision") == []
    await post(operators, path, data)
    assert (await post(operators, f"{path}?dry_run=true", data))[0] == 409
    assert (await post(operators, "/7:3/redrive/?dry_run=true"))[0] == 422


async def test_two_at_once_decide_one_after_the_other(
    operators: ClientSession, journal: RecordingJournal, rows: Rows
) -> None:
    """Else two corrected bodies of one dead letter, with an operation each, would both count."""
    journal.may_answer.clear()
    first = asyncio.create_task(post(operators, "/7:2/redrive/", body(payer_inn=INN)))
    await asyncio.wait_for(journal.published.wait(), 10)
    second = asyncio.create_task(post(operators, "/7:2/redrive/", body(payer_inn=INN)))
    await asyncio.to_thread(wait_until, lambda: bool(rows(WAITING)), "the second waits")
    journal.may_answer.set()
    assert ((await first)[0], (await second)[0]) == (200, 409)
    assert len(journal.records) == 1


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"{}", "because: must be a string"),
        (b'{"because": " "}', "because: must be 1 to 1000 characters"),
        (rb'{"because": "\u0000"}', "because: must be 1 to 1000 characters"),
        (b'{"because": "x", "by": "me"}', "by: is no field here"),
    ],
)
async def test_a_discard_says_why(operators: ClientSession, data: bytes, named: str) -> None:
    """Without a reason it is a 400 that names the field, and nothing is decided."""
    status, answer = await post(operators, "/7:1/discard/", data)
    assert status == 400
    assert named in answer["error"]
    assert "7:1" in await positions(operators)


@pytest.mark.parametrize("by", [(), ("",), ("a", "b"), ("x" * 101,)])
async def test_a_decision_names_who_decides(operators: ClientSession, by: tuple[str, ...]) -> None:
    """Once, and not at any length: else it is a 400 that names the header."""
    headers = [*JSON.items(), *(("Ostatok-By", one) for one in by)]
    async with operators.post(f"{DEAD_LETTERS}/7:1/redrive/", headers=headers) as answer:
        assert answer.status == 400
        assert "Ostatok-By: must" in (await answer.json())["error"]


@pytest.mark.parametrize("path", ["/7:999", "/7", "/x", "/7:-1", "/99999:1"])
async def test_a_place_without_a_dead_letter_is_not_found(
    operators: ClientSession, path: str
) -> None:
    """Whatever is asked of it."""
    expected = (404, {"error": "Dead letter not found"})
    async with operators.get(DEAD_LETTERS + path) as answer:
        assert (answer.status, await answer.json()) == expected
    assert await post(operators, f"{path}/redrive/") == expected
    assert await post(operators, f"{path}/discard/", b'{"because": "x"}') == expected


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_page_of_another_site_can_decide_nothing(
    operators: ClientSession, journal: RecordingJournal, kind: str | None
) -> None:
    """What a browser posts for it without asking is a 415, and when it asks it gets no leave."""
    headers = ME if kind is None else ME | {"Content-Type": kind}
    for what in ("redrive", "discard"):
        path = f"{DEAD_LETTERS}/7:1/{what}/"
        skip = ["Content-Type"]
        async with operators.post(path, headers=headers, skip_auto_headers=skip) as answer:
            assert answer.status == 415
        async with operators.options(path) as answer:
            assert answer.status == 405
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert journal.records == []


async def test_without_an_acknowledgement_nothing_is_decided(
    start_operators: StartOperators, rows: Rows
) -> None:
    """Kafka is away: 503 with Retry-After, and the dead letter stays undecided."""
    operators = await start_operators(journal=RecordingJournal(JournalUnavailable()))
    async with operators.post(f"{DEAD_LETTERS}/7:1/redrive/", headers=JSON | ME) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert rows("SELECT 1 FROM ostatok_service.dead_letter_decision") == []


class AnotherTopic(TheTopic):
    """A topic that was made anew."""

    async def describe_async(self) -> tuple[str, int] | None:
        """Be another one."""
        return "another", PARTITIONS


async def test_nothing_is_published_to_a_topic_that_is_not_the_ledgers(
    start_operators: StartOperators, journal: RecordingJournal
) -> None:
    """It is the webhook's 503."""
    operators = await start_operators(journal=journal, view=AnotherTopic())
    status, answer = await post(operators, "/7:1/redrive/")
    assert (status, answer["error"]) == (503, "The journal does not belong to the ledger")
    assert journal.records == []
