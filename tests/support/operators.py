"""Dead letters as operators handle them over HTTP."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import ClientSession

from ostatok.journal import DeadLetter, Record
from support.payments import MOMENT, document
from support.webhooks import INN, JSON

StartOperators = Callable[..., Awaitable[ClientSession]]
"""Starts a service for operators, on a ledger with dead letters, and gives a client of it."""

DEAD_LETTERS = "/api/dead-letters"
ME = {"Ostatok-By": "Дежурный"}
WRONG_KEY = "the record's key is not the payer's INN"
PAID = document(payer_inn=INN, amount=5)
VALUE = json.dumps(PAID).encode()


def letter(offset: int, reason: str, value: bytes | None, partition: int = 7) -> DeadLetter:
    """A dead letter that came so many minutes after MOMENT as its offset says."""
    record = Record(partition, offset, 1_777_000_000_000, b"\xff", value, [("source", b"bank")])
    return DeadLetter(record, reason, MOMENT + timedelta(minutes=offset))


def three_letters() -> list[DeadLetter]:
    """One that can be a payment, and two that can't, in partition 7 from offset 1 on."""
    return [
        letter(1, WRONG_KEY, VALUE),
        letter(2, "is not JSON", b"\xff{"),
        letter(3, "is not JSON", None),
    ]


async def get(client: ClientSession, path: str = "/", **parameters: str) -> Any:
    """Ask, and give the body."""
    async with client.get(DEAD_LETTERS + path, params=parameters) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        return await answer.json()


async def positions(client: ClientSession, **parameters: str) -> list[str]:
    """Which dead letters are listed."""
    return [one["position"] for one in (await get(client, **parameters))["dead_letters"]]


async def post(
    client: ClientSession, path: str, data: bytes = b"", **headers: str
) -> tuple[int, Any]:
    """Decide as an operator does; gives status and body."""
    async with client.post(DEAD_LETTERS + path, data=data, headers=JSON | ME | headers) as answer:
        return answer.status, await answer.json()
