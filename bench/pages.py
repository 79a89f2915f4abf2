"""How long the console's pages take: the slowest of them, each asked for a number of times."""

import asyncio
import time
from statistics import median

import psycopg
from aiohttp import ClientSession

from ostatok.settings import Settings
from ostatok_db.connection import conninfo

TIMES = 15
WARMUP = 3
"""Of each page: templates are compiled and statements planned when they are first needed."""


async def slowest_page_ms(settings: Settings, port: int) -> float:
    """Of all pages the slowest's median, milliseconds; each must answer 200."""
    paths = await asyncio.to_thread(_paths, settings)
    medians = []
    async with ClientSession(f"http://127.0.0.1:{port}") as client:
        for path in paths:
            times = [await _milliseconds(client, path) for _ in range(WARMUP + TIMES)]
            medians.append(median(times[WARMUP:]))
    return max(medians)


def _paths(settings: Settings) -> list[str]:
    """One of each page that looks into the ledger, of an organization with a middling log."""
    with psycopg.connect(conninfo(settings, name="bench")) as connection:
        row = connection.execute(
            "SELECT inn, head_of.operation_id::text, head_of.created_at::text "
            "FROM organization JOIN balance_log AS head_of USING (inn) "
            "WHERE head_of.entry = 1 ORDER BY inn LIMIT 1"
        ).fetchone()
    assert row is not None
    inn, operation_id, moment = row
    at = moment.replace(" ", "T").partition("+")[0]
    one = f"/console/organizations/{inn}/"
    return [
        "/console/organizations/",
        f"/console/organizations/?prefix={inn[:3]}",
        one,
        f"{one}?at={at}",
        f"{one}?document=none",
        f"/console/operations/{operation_id}/",
        f"/console/search/?q={operation_id}",
        "/console/conflicts/",
        f"/console/conflicts/?inn={inn}",
        "/console/dead-letters/",
        "/console/recovery/",
    ]


async def _milliseconds(client: ClientSession, path: str) -> float:
    started = time.perf_counter()
    async with client.get(path) as answer:
        await answer.read()
        assert answer.status == 200, (path, answer.status)
    return 1_000 * (time.perf_counter() - started)
