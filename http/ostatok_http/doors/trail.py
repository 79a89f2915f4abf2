"""The audit trail of one process: what was denied, and what was done.

Anybody can be denied as often as he likes, so denials cost the database the same whoever asks: they
are added up in memory, and at most :data:`KINDS_MAX` kinds of them are told apart in a minute, of
which nobody known can take more than :data:`STRANGE_KINDS_MAX`, and at one door no more than
:data:`DOOR_KINDS_MAX`: a flood hides neither what a known one was denied nor guesses at a password.
The first of a kind is written within a second, the others of that minute at its end with their
number; what is of a further kind is only counted. What changes something is written before it is
done, each by itself: what can't be written down is not done.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import NamedTuple, Protocol

import structlog

from ostatok.errors import LedgerError
from ostatok_db.trail import Trailed
from ostatok_http.doors.clients import household_of
from ostatok_http.giving_up import give_up

TICK_SECONDS = 1.0
MINUTE_SECONDS = 60.0
KINDS_MAX = 30
"""Kinds of denials told apart in a minute: two rows each, and one more for all the others."""

STRANGE_KINDS_MAX = 24
"""Kinds that may be of those whom nobody knows."""

DOOR_KINDS_MAX = 12
"""Kinds that may be of those whom nobody knows, at one door."""

UNWRITTEN_MAX = 600
"""Rows that wait for a database that is away; past it denials are only counted."""

OTHERS = "others"
"""The action of the row that counts what is not told apart."""

CLOSE_SECONDS_MAX = 2.0
"""How long the last rows may take to be written."""

log = structlog.get_logger()


class Store(Protocol):
    """Where rows are kept: :class:`ostatok_db.trail.TrailStore`."""

    async def add(self, rows: list[Trailed]) -> None:
        """Add rows, all or none. Raises :class:`LedgerUnavailable`."""


class _Kind(NamedTuple):
    """What denials have in common that are added up."""

    door: str
    who: str
    household: str
    reason: str


class _Tally:
    """Denials of one kind."""

    __slots__ = ("client", "first_at", "last_at", "request_id", "times")

    def __init__(self) -> None:
        self.times = 0

    def count(self, request_id: str, now: datetime, client: str = "", household: str = "") -> None:
        if not self.times:
            self.first_at, self.request_id, self.client = now, request_id, client
        elif client != self.client:
            self.client = household
        self.times += 1
        self.last_at = max(self.first_at, now)  # A clock can be put back.

    def take(self, kind: _Kind) -> Trailed:
        """Give the row for what was counted, and begin anew."""
        row = Trailed(
            "denied",
            kind.door,
            kind.who,
            self.client,
            reason=kind.reason,
            request_id=self.request_id,
            times=self.times,
            first_at=self.first_at,
            last_at=self.last_at,
        )
        self.times = 0
        return row

    def add(self, row: Trailed) -> None:
        """Count what a row counts that can't be kept by itself."""
        if not self.times:
            self.first_at, self.last_at, self.request_id = row.first_at, row.last_at, ""
            self.client = ""
        self.times += row.times
        self.first_at = min(self.first_at, row.first_at)
        self.last_at = max(self.last_at, row.last_at)


class Trail:
    """Gathers denials, and writes them; writes what is done at once."""

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._tallies: dict[_Kind, _Tally] = {}
        self._new: list[_Kind] = []
        """Kinds that nothing is written of yet."""
        self._others = _Tally()
        self._failed: list[Trailed] = []
        self._minute_ends = 0.0
        self._unwritten: list[Trailed] = []
        self._is_away = False

    def denied(self, door: str, who: str, client: str, reason: str, request_id: str) -> None:
        """Note that somebody was not let in: at a door, which is the name of what he asked.

        ``who`` is empty when nobody knows. ``reason`` is of a small vocabulary. Addresses of one
        household are added up, and several of them written as its network.
        """
        household = household_of(client)
        kind = _Kind(door, who, household, reason)
        tally = self._tallies.get(kind)
        if tally is None:
            if not self._has_place(kind):
                self._others.count("", datetime.now(UTC))
                return
            if not self._tallies:
                self._minute_ends = self._clock() + MINUTE_SECONDS
            tally = self._tallies[kind] = _Tally()
            self._new.append(kind)
        tally.count(request_id, datetime.now(UTC), client, household)

    def _has_place(self, kind: _Kind) -> bool:
        """Whether one more kind is told apart; few are, so that to count them costs little."""
        if len(self._tallies) >= KINDS_MAX:
            return False
        if kind.who:
            return True
        strange = [one.door for one in self._tallies if not one.who]
        return len(strange) < STRANGE_KINDS_MAX and strange.count(kind.door) < DOOR_KINDS_MAX

    async def done(self, action: str, who: str, client: str, about: str, request_id: str) -> None:
        """Write down that somebody does something, before he does it.

        Raises :class:`LedgerUnavailable`: then it must not be done.
        """
        await self._store.add([Trailed("done", action, who, client, about, "", request_id)])
        log.info(
            "action_done", action=action, who=who, client=client, about=about, request_id=request_id
        )

    def failed(  # noqa: PLR0913, PLR0917  # as done, and why
        self, action: str, who: str, client: str, about: str, reason: str, request_id: str
    ) -> None:
        """Note that what was written down as done came to nothing, or nobody knows to what."""
        row = Trailed("failed", action, who, client, about, reason, request_id)
        if len(self._failed) < UNWRITTEN_MAX:
            self._failed.append(row)
        else:
            self._others.add(row)

    async def __aenter__(self) -> None:
        self._writing = asyncio.create_task(self._write_on())

    async def __aexit__(self, *_: object) -> None:
        await give_up(self._writing)
        self._minute_ends = 0.0
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self.write()
        except TimeoutError:
            pass  # They are in the log.

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.write()
            except Exception:  # A bug must not end the trail without a word.
                log.exception("trail_failed")

    async def write(self) -> None:
        """Write what is due: the first of each kind, and at the end of a minute all there is."""
        for row in self._due():
            fields = {name: getattr(row, name) for name in ("action", "who", "client", "reason")}
            event = "action_failed" if row.kind == "failed" else "access_denied"
            log.warning(event, times=row.times, request_id=row.request_id, **fields)
            if len(self._unwritten) < UNWRITTEN_MAX:
                self._unwritten.append(row)
            else:
                self._others.add(row)
        if not self._unwritten:
            return
        rows = list(self._unwritten)
        try:
            await self._store.add(rows)
        except LedgerError as error:
            if not self._is_away:
                log.warning("trail_unwritten", reason=str(error))
            self._is_away = True
            return
        self._is_away = False
        del self._unwritten[: len(rows)]

    def _due(self) -> list[Trailed]:
        rows, self._failed = self._failed, []
        if self._clock() < self._minute_ends:
            new, self._new = self._new, []
            return rows + [self._tallies[kind].take(kind) for kind in new]
        kinds, self._tallies = self._tallies, {}
        self._new.clear()
        rows += [tally.take(kind) for kind, tally in kinds.items() if tally.times]
        if self._others.times:
            rows.append(self._others.take(_Kind(OTHERS, "", "", "")))
        self._minute_ends = self._clock() + MINUTE_SECONDS
        return rows
