"""Is the process alive, and is everything there that it needs?"""

import asyncio
from typing import Annotated

import msgspec
import structlog
from aiohttp import hdrs, web
from msgspec import Meta

from ostatok.errors import LedgerUnavailable
from ostatok_http.answers import JSON, RETRY_AFTER_SECONDS
from ostatok_http.journal_check import JournalCheck
from ostatok_http.ports import Journal, LedgerReader
from ostatok_http.single_flight import SingleFlight

CACHED_SECONDS = 1.0
"""How long a finding is repeated: whoever asks more often learns, and loads, no more."""

CHECK_SECONDS = 2.0
"""How long the database may take to say that it is there."""

NOT_THE_LEDGERS = "topic: not the one the ledger was built from"

OK, UNAVAILABLE = "ok", "unavailable"
_ALIVE = b'{"status": "%s"}' % OK.encode()

MISSING = ("broker", "topic", NOT_THE_LEDGERS, "database")
"""What can be missing."""

log = structlog.get_logger()


class Alive(msgspec.Struct, frozen=True):
    """Nothing is missing."""

    status: Annotated[str, Meta(extra_json_schema={"const": OK})]


class NotReady(msgspec.Struct, frozen=True):
    """What is missing, by name."""

    status: Annotated[str, Meta(extra_json_schema={"const": UNAVAILABLE})]
    missing: list[Annotated[str, Meta(extra_json_schema={"enum": [*MISSING]})]]


class Health:
    """The endpoints for those who watch over the process."""

    def __init__(self, journal: Journal, journal_check: JournalCheck, ledger: LedgerReader) -> None:
        self._journal = journal
        self._journal_check = journal_check
        self._is_ledger_there = SingleFlight(ledger.check, CHECK_SECONDS)
        self._lock = asyncio.Lock()
        self._missing: list[str] = []
        self._found_at = float("-inf")

    def close(self) -> None:
        """Give up what is still being asked."""
        self._is_ledger_there.close()

    async def alive(self, _request: web.Request) -> web.Response:
        """Answer 200: the process can answer."""
        return web.Response(body=_ALIVE, content_type=JSON)

    async def ready(self, _request: web.Request) -> web.Response:
        """Answer 200 when broker, topic and database are there, else 503 naming what is not."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._found_at > CACHED_SECONDS:
                missing = await self._find_missing()
                if missing != self._missing:
                    log.info("readiness_changed", missing=missing)
                self._missing = missing
                self._found_at = asyncio.get_running_loop().time()
            missing = self._missing
        if not missing:
            return web.Response(body=_ALIVE, content_type=JSON)
        return web.Response(
            status=503,
            body=msgspec.json.encode(NotReady(UNAVAILABLE, missing)),
            content_type=JSON,
            headers={hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)},
        )

    async def _find_missing(self) -> list[str]:
        journal, ledger = await asyncio.gather(self._journal.missing(), self._ledger_missing())
        # A topic that is gone is not the ledger's either: that is said once.
        matches = self._journal_check.matches or journal == "topic"
        return [part for part in (journal, None if matches else NOT_THE_LEDGERS, ledger) if part]

    async def _ledger_missing(self) -> str | None:
        try:
            await self._is_ledger_there.answer()
        except LedgerUnavailable:
            return "database"
        return None
