"""The console's pages, asked for without a browser."""

from collections.abc import Iterable
from typing import Any

from aiohttp import ClientSession

from ostatok.setting_types import ALL_PARTS
from ostatok.settings import Settings
from ostatok.topic import Range
from support.model import INNS
from support.payments import payment
from support.webhooks import Serve, TheTopic, of_database

INN = INNS[0]
PAID = payment(inn=INN, operation_id="7f0c5d0a-5a1e-4a53-9a53-0c1f2b3d4e5f")


class Held(TheTopic):
    """A topic that holds what these ledgers have applied, and nothing behind it."""

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Hold eleven records in each partition."""
        return dict.fromkeys(partitions, Range(0, 11))


async def start(serve: Serve, database: Settings, **settings: Any) -> ClientSession:
    """Start a console."""
    on = {"http_serve": ALL_PARTS, "http_operators": True}
    ports = {**of_database(database), "view": Held()}
    return await serve(**{**ports, "database_url": database.database_url, **on, **settings})


async def get(client: ClientSession, path: str, **headers: str) -> tuple[int, str, Any]:
    """Ask for a page; gives status, text and headers."""
    async with client.get("/console" + path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


async def post(client: ClientSession, form: Any, **headers: str) -> tuple[int, str]:
    """Post the form of a decision as our own page does."""
    given = {"Sec-Fetch-Site": "same-origin", **headers}
    async with client.post("/console/dead-letters/", data=form, headers=given) as answer:
        return answer.status, await answer.text()
