"""What the console is made of that the service has anyway. It brings no template engine along."""

from typing import NamedTuple

from ostatok_db.browsing import Browser
from ostatok_db.history import History
from ostatok_db.runs import RunReader
from ostatok_http.journal_check import JournalCheck
from ostatok_http.letter_desk import LetterDesk
from ostatok_http.ports import LedgerReader, RecordSource, TopicView
from ostatok_http.unapplied import Unapplied


class World(NamedTuple):
    """What the console shows, and by whom it decides."""

    ledger: LedgerReader
    topic: TopicView
    records: RecordSource
    browser: Browser
    runs: RunReader
    history: History
    unapplied: Unapplied
    journal_check: JournalCheck
    desk: LetterDesk
