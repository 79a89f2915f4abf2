"""The console's pages, asked for without a browser."""

from typing import Any

from aiohttp import ClientSession

from ostatok.settings import Settings
from support.model import INNS
from support.payments import payment
from support.webhooks import Serve, of_database

INN = INNS[0]
PAID = payment(inn=INN)


async def start(serve: Serve, database: Settings, **settings: Any) -> ClientSession:
    """Start a console."""
    on = {"http_console": True, "http_operators": True}
    given = {**of_database(database), "database_url": database.database_url, **on, **settings}
    return await serve(**given)


async def get(client: ClientSession, path: str, **headers: str) -> tuple[int, str, Any]:
    """Ask for a page; gives status, text and headers."""
    async with client.get("/console" + path, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


async def post(client: ClientSession, form: Any, **headers: str) -> tuple[int, str]:
    """Post the form of a decision as our own page does."""
    given = {"Sec-Fetch-Site": "same-origin", **headers}
    async with client.post("/console/dead-letters/", data=form, headers=given) as answer:
        return answer.status, await answer.text()
