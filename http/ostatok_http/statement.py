"""A statement: what an INN paid in a period, with the balances at its ends, however long it is."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable

import msgspec
import structlog
from aiohttp import hdrs, web

from ostatok.errors import OstatokError
from ostatok.journal import rfc3339
from ostatok_db.history import History, LogEntry
from ostatok_http import parameters
from ostatok_http.answers import JSON, REQUEST_ID, REQUEST_ID_HEADER, SERVER
from ostatok_http.balance import Balances
from ostatok_http.history import FROM, TO, bounds, inn_of
from ostatok_http.parameters import Parameters, names_of, optional
from ostatok_http.shapes import Entry, StatementHead, Totals, encode

CSV = "text/csv"
OPENING_HEADER = "Ostatok-Opening-Balance"
CLOSING_HEADER = "Ostatok-Closing-Balance"
WRITE_SECONDS_MAX = 30.0
"""How long a client may take to take a page in; a statement that nobody reads must not wait."""

FORMULA_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins, in the wide form of East Asian keyboards too."""

COLUMNS = Entry.__struct_fields__

FORMAT = optional(
    "format",
    parameters.one_of("json", "csv"),
    "Which of the two it is; without it, what the header Accept prefers.",
    "csv",
)
STATEMENT_PARAMETERS = (FROM, TO, FORMAT)

log = structlog.get_logger()


class StatementEndpoint:
    """Statements, written a page of entries at a time."""

    def __init__(self, balances: Balances, history: History) -> None:
        self._balances = balances
        self._history = history

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the statement from ``?from=`` to ``?to=``, as JSON or CSV."""
        inn = inn_of(request)
        query = Parameters(request.query, *names_of(STATEMENT_PARAMETERS))
        since, until = parameters.period(query)
        wanted = FORMAT.of(query)
        query.check()
        answered = await self._balances.read_for(inn, request)
        start, end = await bounds(self._history, inn, since, until)
        as_csv = wanted == "csv" or (wanted is None and _prefers_csv(request))
        pages = self._history.pages(inn, start.entry + 1, end.entry)
        headers = {
            **answered.headers,
            OPENING_HEADER: str(start.balance),
            CLOSING_HEADER: str(end.balance),
            hdrs.CONTENT_TYPE: f"{CSV}; charset=utf-8; header=present" if as_csv else JSON,
            hdrs.VARY: hdrs.ACCEPT,
        }
        if as_csv:
            headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="statement-{inn}.csv"'
            return await _write(request, headers, _csv(pages))
        head = StatementHead(
            inn,
            None if since is None else rfc3339(since),
            None if until is None else rfc3339(until),
            start.balance,
            end.balance,
            Totals(end.entry - start.entry, end.balance - start.balance),
        )
        return await _write(request, headers, _json(head, pages))


async def _json(head: StatementHead, pages: AsyncIterator[list[LogEntry]]) -> AsyncIterator[bytes]:
    yield encode(head)[:-1] + b', "entries": ['
    before = b"\n"
    async for page in pages:
        yield before + b",\n".join(encode(Entry.of(entry)) for entry in page)
        before = b",\n"
    yield b"]}\n"


async def _csv(pages: AsyncIterator[list[LogEntry]]) -> AsyncIterator[bytes]:
    yield _csv_lines([COLUMNS])
    async for page in pages:
        yield _csv_lines(msgspec.structs.astuple(_for_tables(Entry.of(entry))) for entry in page)


def _for_tables(entry: Entry) -> Entry:
    """Keep programs that show tables from taking what the payer wrote for a formula of theirs."""
    if entry.document_number.startswith(FORMULA_SIGNS):
        return msgspec.structs.replace(entry, document_number="'" + entry.document_number)
    return entry


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
