"""What the console is made of that the service has anyway. It brings no template engine along."""

from typing import NamedTuple, Self

from ostatok.settings import Settings
from ostatok_db.browsing import Browser
from ostatok_db.history import History
from ostatok_db.pool import Connections, Pool, Share
from ostatok_db.runs import RunReader
from ostatok_db.trail import TrailReader
from ostatok_http.doors.trail import Trail
from ostatok_http.journal_check import JournalCheck
from ostatok_http.letter_desk import LetterDesk
from ostatok_http.ports import LedgerReader, RecordSource, TopicView
from ostatok_http.statement import StatementEndpoint
from ostatok_http.unapplied import Unapplied


class Reads(NamedTuple):
    """What the console looks up, by a share of the service's connections."""

    browser: Browser
    history: History
    runs: RunReader
    trail: TrailReader

    @classmethod
    def make(cls, settings: Settings, pool: Pool) -> Self:
        """Leave the other connections to balances: a page may take longer than they can wait."""
        share = Share(settings, pool)
        return cls(
            Browser(settings, share),
            History(settings, share),
            RunReader(settings, share),
            TrailReader(share),
        )


class World(NamedTuple):
    """What the console shows, and by whom it decides."""

    ledger: LedgerReader
    topic: TopicView
    records: RecordSource
    reads: Reads
    unapplied: Unapplied
    journal_check: JournalCheck
    desk: LetterDesk
    trail: Trail
    writes: Connections
    statement: StatementEndpoint
