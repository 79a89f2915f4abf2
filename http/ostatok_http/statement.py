"""A statement: what an INN paid in a period, with the balances at its ends, however long it is."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable
from typing import Any

import structlog
from aiohttp import hdrs, web

from ostatok.errors import OstatokError
from ostatok.journal import rfc3339
from ostatok_db.history import History, LogEntry
from ostatok_http import parameters
from ostatok_http.answers import JSON, REQUEST_ID, REQUEST_ID_HEADER, SERVER
from ostatok_http.balance import Balances
from ostatok_http.history import bounds, encode, fields_of, inn_of, period
from ostatok_http.parameters import Parameters

CSV = "text/csv"
WRITE_SECONDS_MAX = 30.0
"""How long a client may take to take a page in; a statement that nobody reads must not wait."""

COLUMNS = (
    "entry",
    "created_at",
    "operation_id",
    "amount",
    "previous_balance",
    "new_balance",
    "document_number",
    "document_date",
    "received_at",
    "position",
)

log = structlog.get_logger()


class StatementEndpoint:
    """Statements, written a page of entries at a time."""

    def __init__(self, balances: Balances, history: History) -> None:
        self._balances = balances
        self._history = history

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the statement from ``?from=`` to ``?to=``, as JSON or CSV."""
        inn = inn_of(request)
        query = Parameters(request.query, "from", "to", "format")
        since, until = period(query)
        wanted = query.read("format", parameters.one_of("json", "csv"))
        query.check()
        answered = await self._balances.read_for(inn, request)
        start, end = await bounds(self._history, inn, since, until)
        as_csv = wanted == "csv" or (wanted is None and _prefers_csv(request))
        pages = self._history.pages(inn, start.entry + 1, end.entry)
        totals = {"entries": end.entry - start.entry, "amount": end.balance - start.balance}
        headers = {
            **answered.headers,
            "Ostatok-Opening-Balance": str(start.balance),
            "Ostatok-Closing-Balance": str(end.balance),
            hdrs.CONTENT_TYPE: f"{CSV}; charset=utf-8; header=present" if as_csv else JSON,
            hdrs.VARY: hdrs.ACCEPT,
        }
        if as_csv:
            headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="statement-{inn}.csv"'
            return await _write(request, headers, _csv(pages))
        head = {
            "inn": inn,
            "from": None if since is None else rfc3339(since),
            "to": None if until is None else rfc3339(until),
            "opening_balance": start.balance,
            "closing_balance": end.balance,
            "totals": totals,
        }
        return await _write(request, headers, _json(head, pages))


async def _json(head: dict[str, Any], pages: AsyncIterator[list[LogEntry]]) -> AsyncIterator[bytes]:
    yield encode(head)[:-1] + b', "entries": ['
    before = b"\n"
    async for page in pages:
        yield before + b",\n".join(encode(fields_of(entry)) for entry in page)
        before = b",\n"
    yield b"]}\n"


async def _csv(pages: AsyncIterator[list[LogEntry]]) -> AsyncIterator[bytes]:
    yield _csv_lines([COLUMNS])
    async for page in pages:
        rows = map(fields_of, page)
        yield _csv_lines([fields[name] for name in COLUMNS] for fields in rows)


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """RFC 4180."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


async def _write(
    request: web.Request, headers: dict[str, str], parts: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Write the parts as they come.

    What goes wrong after the first can't be answered any more: the connection ends before the
    body does, and so the client sees that it has not got all.
    """
    ours = {REQUEST_ID_HEADER: request[REQUEST_ID], hdrs.SERVER: SERVER}
    response = web.StreamResponse(headers={**headers, **ours})
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    try:
        async for part in parts:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await response.write(part)
        await response.write_eof()
    except (OstatokError, TimeoutError) as error:
        log.warning("statement_cut", request_id=request[REQUEST_ID], reason=str(error))
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # The client is gone.
    return response


def _prefers_csv(request: web.Request) -> bool:
    return CSV in request.headers.get(hdrs.ACCEPT, "").lower()
