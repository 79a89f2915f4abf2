"""Recovery: what the topic holds, where the ledger stands, what was last run, and what is next."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiohttp import web

from ostatok.errors import JournalMismatch
from ostatok_db.runs import Run, RunReader
from ostatok_http.console.live import Live, Look, Seen, Standing
from ostatok_http.console.site import Site
from ostatok_http.journal_check import JournalCheck
from ostatok_http.parameters import Parameters

RUNS = 20
AUDIT_AGE_MAX = timedelta(days=1)
"""An audit older than this is to be repeated."""

AUDIT_DIFFERS = 1
"""The status that an audit ends with when it found something."""


class Advice(NamedTuple):
    """What to do next: a text of the console by its name, and the commands that do it."""

    text: str
    commands: Sequence[str] = ()


class Recovery:
    """The page for when something broke, and for seeing that nothing did."""

    def __init__(
        self, site: Site, live: Live, journal_check: JournalCheck, runs: RunReader
    ) -> None:
        self._site = site
        self._live = live
        self._journal_check = journal_check
        self._runs = runs

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the page."""
        Parameters(request.query).check()
        seen = await self._live.now()
        last = seen.looks[-1] if seen.looks else None
        last_runs = await self._runs.last_of_each()
        mismatch = self._mismatch()
        return self._site.render(
            request,
            "recovery.html",
            seen=seen,
            last=last,
            cut=cut_partitions(last),
            mismatch=mismatch,
            last_runs=last_runs,
            runs=await self._runs.recent(RUNS),
            advice=advise(seen, last_runs, is_match=mismatch is None),
        )

    def _mismatch(self) -> JournalMismatch | None:
        try:
            self._journal_check.require_match()
        except JournalMismatch as error:
            return error
        return None


def cut_partitions(last: Look | None) -> list[Standing]:
    """Partitions that lost records before the ledger had them."""
    if last is None:
        return []
    return [one for one in last.partitions if one.next_offset < one.earliest]


def advise(seen: Seen, last_runs: Sequence[Run], *, is_match: bool) -> Advice:
    """Say what to run next; docs/recovery.md has the whole of it."""
    if not is_match or cut_partitions(seen.looks[-1] if seen.looks else None):
        return Advice("lost_topic", ["ostatok migrate", "ostatok rebuild --new-topic"])
    audit = next((run for run in last_runs if run.command == "audit"), None)
    if audit is None:
        return Advice("never_audited", ["ostatok audit"])
    if audit.exit_status == AUDIT_DIFFERS:
        return Advice("audit_found", ["ostatok replay --dry-run", "ostatok rebuild"])
    if not audit.running and audit.exit_status != 0:
        return Advice("audit_failed", ["ostatok audit"])
    if datetime.now(UTC) - audit.started_at > AUDIT_AGE_MAX:
        return Advice("audit_old", ["ostatok audit"])
    return Advice("audit_running" if audit.running else "all_well")
