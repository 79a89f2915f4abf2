"""``Prefer: wait``: a balance that is never stale, and a webhook answered with its outcome."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.payments import body, document
from support.services import Services
from support.system import System, request

from ostatok.local.ports import free_port
from ostatok.setting_types import PREFIX

TRIES = 10_000
CLIENTS = 50
WAIT = {"Prefer": "wait=10"}


@pytest.fixture(scope="module")
def two(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, int]]:
    """A system, and the port of a second http process that shares nothing with the first."""
    with System(services.new_settings(), tmp_path_factory.mktemp("two")) as running:
        running.start_stream()
        running.start_http()
        port = free_port()
        other = running.start("http", log="other.log", **{f"{PREFIX}HTTP_PORT": str(port)})
        running.wait_ready(port, other)
        yield running, port


async def stale_answers(posts_at: int, reads_at: int, prefer: dict[str, str]) -> int:
    """Post at one process and read at the other; count the answers without the payment."""
    stale = 0

    async def client(session: ClientSession, inn: str) -> None:
        nonlocal stale
        for paid in range(1, TRIES // CLIENTS + 1):
            url = f"http://127.0.0.1:{posts_at}/api/webhook/bank/"
            async with session.post(url, json=document(payer_inn=inn, amount=1)) as answer:
                assert answer.status == 200
            url = f"http://127.0.0.1:{reads_at}/api/organizations/{inn}/balance/"
            async with session.get(url, headers=prefer) as answer:
                found = await answer.json()
                assert answer.headers.get("Preference-Applied") == ("wait" if prefer else None)
                stale += answer.status != 200 or found["balance"] != paid

    async with ClientSession() as session, asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(session, f"{posts_at:05}{number:05}"))
    return stale


def test_no_answer_is_stale_whoever_acknowledged(two: tuple[System, int]) -> None:
    """10,000 tries: each reads at one process what another has just answered 200 to."""
    system, other = two
    assert asyncio.run(stale_answers(system.settings.http_port, other, WAIT)) == 0


def test_without_it_some_are(two: tuple[System, int]) -> None:
    """So the test above can fail: a process does not know what another acknowledged."""
    system, other = two
    assert asyncio.run(stale_answers(other, system.settings.http_port, {})) > 0


def test_a_webhook_is_answered_with_its_outcome(two: tuple[System, int]) -> None:
    """Applied, then a duplicate; a conflict is a 409 that says what differs, and is counted."""
    system, _ = two
    paid = document(payer_inn="7707083893")
    first, again = (system.post(json.dumps(paid).encode(), **WAIT) for _ in range(2))
    assert (first.status, again.status) == (200, 200)
    assert first.body == again.body == b'{"message": "Payment processed successfully"}'
    assert first.headers["Ostatok-Outcome"] == "applied"
    assert again.headers["Ostatok-Outcome"] == "duplicate"
    assert first.headers["Preference-Applied"] == "wait"
    changed = json.dumps({**paid, "amount": 5}).encode()
    conflict = system.post(changed, **WAIT)
    assert (conflict.status, conflict.body) == (409, b'{"error": "Operation conflict"}')
    assert conflict.headers["Ostatok-Outcome"] == "conflict"
    assert conflict.headers["Ostatok-Position"].partition(":")[0] in map(str, range(12))
    problem = system.post(changed, **WAIT, Accept="application/problem+json")
    assert json.loads(problem.body)["differences"] == {
        "amount": {"recorded": "145000.00", "received": "5.00"}
    }
    plain = system.post(changed)
    assert (plain.status, plain.body) == (200, first.body)
    assert "Ostatok-Outcome" not in plain.headers
    metrics = request(system.settings.http_port, "GET", "/metrics").body.decode()
    assert 'ostatok_http_webhooks_total{answer="conflict"} 2.0' in metrics


def test_who_waits_in_vain_is_told(services: Services, tmp_path: Path) -> None:
    """No stream runs: a webhook is a plain 200, a balance a 503 that can be repeated."""
    with System(services.new_settings(), tmp_path) as running:
        running.start_http()
        posted = running.post(body(payer_inn="7707083893"), Prefer="wait=1")
        assert posted.status == 200
        assert "Preference-Applied" not in posted.headers
        behind = running.balance("7707083893", Prefer="wait=1")
        assert behind.status == 503
        assert behind.headers["Retry-After"] == "1"
        assert "Ostatok-Stale" not in behind.headers
