"""Conflicts: operations that came again with other content, and moved no money."""

from functools import partial

from aiohttp import web

from ostatok.errors import JournalError, JournalUnavailable, OstatokError
from ostatok.journal import Record
from ostatok.payment import operation_id_of
from ostatok_db.browsing import Browser, Conflict
from ostatok_db.history import History
from ostatok_http import parameters
from ostatok_http.console.fields import cursor_of, digits, local_moment, place
from ostatok_http.console.letters import PAGE_ROWS
from ostatok_http.console.raw import Raw
from ostatok_http.console.site import Site
from ostatok_http.dead_letters import position_of
from ostatok_http.desk import Desk
from ostatok_http.parameters import Parameters
from ostatok_http.ports import RecordSource

AT_ONCE_MAX = 1
"""Threads that read a record from the topic; the next one waits for its turn."""

IN_HAND_MAX = 10
READ_SECONDS_MAX = 8.0


class Conflicts:
    """The list of conflicts, and the page of one."""

    def __init__(
        self, site: Site, browser: Browser, history: History, records: RecordSource
    ) -> None:
        self._site = site
        self._browser = browser
        self._history = history
        self._records = records
        self._desk = Desk(AT_ONCE_MAX, IN_HAND_MAX, READ_SECONDS_MAX, JournalUnavailable)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a page of them, the latest first: of all INNs or of one, in a period."""
        query = Parameters(request.query, "inn", "from", "to", "cursor")
        inn = query.read("inn", digits(0, 12)) or None
        since, until = parameters.period(query, local_moment(self._site.zone))
        before = query.read("cursor", place)
        query.check()
        found = await self._browser.conflicts(
            PAGE_ROWS + 1, inn=inn, since=since, until=until, before=before
        )
        page = found[:PAGE_ROWS]
        return self._site.render(
            request,
            "conflicts.html",
            conflicts=page,
            inn=inn,
            since=since,
            until=until,
            following=_following(page[-1]) if len(found) > PAGE_ROWS else None,
            chosen={name: value for name, value in request.query.items() if name != "cursor"},
        )

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Answer a conflict: what differs, the record as it came, and the one that counts."""
        position = position_of(request)
        Parameters(request.query).check()
        conflict = await self._browser.conflict(*position)
        if conflict is None:
            raise web.HTTPNotFound
        (counted, *_) = await self._history.records_of(conflict.operation_id) or (None,)
        problem: OstatokError | None = None
        record: Record | None = None
        try:
            record = await self._desk.do(partial(self._read, *position))
        except JournalError as error:
            problem = error
        body = None if record is None else record.value
        # A topic made anew has other records at the places of those that are lost.
        is_other = operation_id_of(body or b"") != conflict.operation_id
        return self._site.render(
            request,
            "conflict.html",
            conflict=conflict,
            counted=counted,
            value=Raw(body),
            is_other=is_other,
            problem=problem,
        )

    def _read(self, partition: int, offset: int) -> Record | None:
        """The record, from the topic: of a conflict the ledger keeps what differs, not the body."""
        return self._records.firsts({partition: (offset, offset + 1)}).get(partition)


def _following(last: Conflict) -> str:
    return cursor_of(last.received_at, last.partition, last.offset)
