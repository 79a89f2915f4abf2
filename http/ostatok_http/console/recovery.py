"""Recovery: what the topic holds, where the ledger stands, what was last run, and what is next.

What is next is what docs/recovery.md says: each advice has the commands of one of its sections, and
names it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiohttp import web

from ostatok.errors import (
    JournalCut,
    JournalMismatch,
    JournalShort,
    LedgerError,
    LedgerNotMigrated,
    PartitionsChanged,
)
from ostatok_db.runs import Run, RunReader
from ostatok_http.console.live import Live
from ostatok_http.console.looks import Look, PartitionOffsets, Seen
from ostatok_http.console.site import Site
from ostatok_http.parameters import Parameters

RUNS = 20
AUDIT_AGE_MAX = timedelta(days=1)
"""An audit older than this is to be repeated."""

RUNBOOK, RELIABILITY = "docs/recovery.md", "docs/reliability.md"


class Advice(NamedTuple):
    """What to do next."""

    text: str
    """The console's text that says it, by its name."""
    section: str | None = None
    """The heading under which all of it is found, in ``document``."""
    commands: Sequence[str] = ()
    """One after another; ``{folder}`` is the copy that somebody has, ``{new_folder}`` a new one."""
    document: str = RUNBOOK
    said: Sequence[str] = ()
    """What a command said itself."""


_AUDIT = ("Is anything wrong at all?", ["ostatok audit"])

TOPIC_LOST = Advice(
    "topic_lost",
    "The topic is lost",
    [
        "ostatok topic restore {folder}",
        "ostatok reseed",
        "ostatok rebuild --new-topic",
        "ostatok rebuild --new-topic --swap --keep",
    ],
)
TOPIC_CUT = Advice("topic_cut", "Retention has cut the topic", ["ostatok topic backup {folder}"])
TOPIC_SHORT = Advice("topic_short", "The topic is lost", ["ostatok topic restore {folder}"])
PARTITIONS_CHANGED = Advice(
    "partitions_changed",
    "At three in the morning",
    ["ostatok topic backup {new_folder}"],
    RELIABILITY,
)
UNSEEN = Advice("unseen", "At three in the morning", document=RELIABILITY)
NO_LEDGER = Advice("no_ledger", "At three in the morning", document=RELIABILITY)
RUNS_UNREAD = Advice("runs_unread", *_AUDIT)
NEVER_AUDITED = Advice("never_audited", *_AUDIT)
AUDIT_RUNNING = Advice("audit_running")
AUDIT_KILLED = Advice("audit_killed", *_AUDIT)
AUDIT_FOUND = Advice("audit_found", *_AUDIT)
AUDIT_FAILED = Advice("audit_failed", *_AUDIT)
AUDIT_OLD = Advice("audit_old", *_AUDIT)
ALL_WELL = Advice("all_well")


class Recovery:
    """The page for when something broke, and for seeing that nothing did."""

    def __init__(self, site: Site, live: Live, runs: RunReader) -> None:
        self._site = site
        self._live = live
        self._runs = runs

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the page, whoever is away: it is for when something is."""
        Parameters(request.query).check()
        seen = await self._live.now()
        last = seen.looks[-1] if seen.looks else None
        trouble = of_topic(seen)
        last_runs, runs = list[Run](), list[Run]()
        unread: LedgerError | None = None
        try:
            last_runs = await self._runs.last_of_each()
            runs = await self._runs.recent(RUNS)
        except LedgerError as error:
            unread = error
        of_runs = of_audits(last_runs, datetime.now(UTC)) if unread is None else RUNS_UNREAD
        return self._site.render(
            request,
            "recovery.html",
            seen=seen,
            last=last,
            cut=cut_partitions(last),
            mismatch=seen.mismatch,
            last_runs=last_runs,
            runs=runs,
            unread=unread,
            is_well=trouble is None,
            advice=of_runs if trouble is None else trouble,
        )


def cut_partitions(last: Look | None) -> list[PartitionOffsets]:
    """Partitions that lost records before the ledger had them."""
    if last is None:
        return []
    return [one for one in last.partitions if one.next_offset < one.earliest]


def of_topic(seen: Seen) -> Advice | None:
    """Say what to do when the topic is not what the ledger needs, or nobody can say whether it is.

    None when it is: then the audits say what is next.
    """
    if seen.mismatch is not None:
        return _of_mismatch(seen.mismatch)
    if isinstance(seen.problem, LedgerNotMigrated):
        return NO_LEDGER
    if seen.problem is not None or not seen.looks:
        return UNSEEN
    last = seen.looks[-1]
    # The check of the journal looks less often than this page, and will say the same.
    if cut_partitions(last):
        return TOPIC_CUT
    return TOPIC_SHORT if any(one.end < one.next_offset for one in last.partitions) else None


def _of_mismatch(mismatch: JournalMismatch) -> Advice:
    match mismatch:
        case PartitionsChanged():
            return PARTITIONS_CHANGED
        case JournalCut():
            return TOPIC_CUT
        case JournalShort():
            return TOPIC_SHORT
    return TOPIC_LOST


def of_audits(last_runs: Sequence[Run], now: datetime) -> Advice:
    """Say what to run next on a topic that is the ledger's, from the last run of each command."""
    audit = next((run for run in last_runs if run.command == "audit"), None)
    if audit is None:
        return NEVER_AUDITED
    if audit.running:
        return AUDIT_RUNNING
    if audit.lost:
        return AUDIT_KILLED
    result = audit.result or {}
    # Not the exit status: an audit that could not look ends with 1 too.
    if result.get("wrong"):
        return AUDIT_FOUND
    if audit.exit_status != 0:
        said = tuple(str(result[name]) for name in ("error", "hint") if name in result)
        return AUDIT_FAILED._replace(said=said)
    return AUDIT_OLD if now - audit.started_at > AUDIT_AGE_MAX else ALL_WELL
