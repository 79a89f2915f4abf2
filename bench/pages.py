"""How long each of the console's pages takes, asked for a number of times."""

import asyncio
import time
from datetime import datetime
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from aiohttp import ClientSession

from ostatok.settings import Settings
from ostatok_db.connection import conninfo

TIMES = 15
WARMUP = 3
"""Of each page: templates are compiled and statements planned when they are first needed."""

BUSIEST = b"SELECT inn, entries FROM organization ORDER BY entries DESC, inn LIMIT 1"
MIDDLE = b"SELECT operation_id::text, created_at FROM balance_log WHERE inn = %s AND entry = %s"
LATEST_CONFLICT = b"""
SELECT inn, partition || ':' || "offset" FROM duplicate
WHERE outcome = 'conflict' ORDER BY received_at DESC LIMIT 1
"""
LATEST_LETTER = b"""
SELECT partition || ':' || "offset", received_at FROM dead_letter
ORDER BY received_at DESC LIMIT 1
"""


async def pages_ms(settings: Settings, port: int) -> dict[str, float]:
    """Address of the page → the median of its times, milliseconds; each must answer 200."""
    paths = await asyncio.to_thread(_paths, settings)
    medians = {}
    async with ClientSession(f"http://127.0.0.1:{port}") as client:
        for path in paths:
            times = [await _milliseconds(client, path) for _ in range(WARMUP + TIMES)]
            medians[path] = median(times[WARMUP:])
    return medians


def _paths(settings: Settings) -> list[str]:
    """Each page that looks into the ledger, of the organization with the longest log."""
    with psycopg.connect(conninfo(settings, name="bench")) as connection:
        inn, entries = _row(connection, BUSIEST)
        operation_id, created_at = _row(connection, MIDDLE, inn, max(1, entries // 2))
        refused_inn, conflict = _row(connection, LATEST_CONFLICT)
        letter, received_at = _row(connection, LATEST_LETTER)
    zone = ZoneInfo(settings.console_timezone)
    at, since = (_in_a_form(moment, zone) for moment in (created_at, received_at))
    one = f"/console/organizations/{inn}/"
    return [
        "/console/",
        "/console/organizations/",
        f"/console/organizations/?prefix={inn[:3]}",
        one,
        f"{one}?at={at}",
        f"{one}?from={at}",
        f"{one}?cursor={entries // 2 + 1}",
        f"{one}?document=none",
        f"/console/operations/{operation_id}/",
        f"/console/search/?q={operation_id}",
        "/console/conflicts/",
        f"/console/conflicts/?inn={refused_inn}",
        f"/console/conflicts/{conflict}/",
        "/console/dead-letters/",
        f"/console/dead-letters/?from={since}",
        "/console/dead-letters/?reason=none",
        f"/console/dead-letters/{letter}/",
        "/console/recovery/",
    ]


def _row(connection: psycopg.Connection, statement: bytes, *values: object) -> tuple[Any, ...]:
    row = connection.execute(statement, values).fetchone()
    assert row is not None, statement
    return row


def _in_a_form(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as a form of the console sends it: to the second, by the console's clock."""
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


async def _milliseconds(client: ClientSession, path: str) -> float:
    started = time.perf_counter()
    async with client.get(path) as answer:
        await answer.read()
        assert answer.status == 200, (path, answer.status)
    return 1_000 * (time.perf_counter() - started)
