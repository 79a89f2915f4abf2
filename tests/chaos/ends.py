"""Ends that nobody asked for: what may end by itself under which fault, and what the logs say.

What ends and is started again leaves every balance right, so the invariants don't see it. In
production it is an alarm in the night.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

EVENTS = frozenset({"worker_ends", "journal_mismatch"})
NEEDLE = re.compile(rb'"event": ?"(worker_ends|journal_mismatch)"')
WITH_AN_EVENT = "stream: exit 1"
"""How a worker ends that says why, in its log."""


class Expected(NamedTuple):
    """An end that a fault may bring about: a pattern of its text, and the names of such faults."""

    pattern: str
    faults: str


EXPECTED = (
    # Postgres has no SQLSTATE of its own for EFBIG and says XX000, which must end a worker: the
    # same class says that an index is damaged.
    Expected(r"^(stream|again|same).*SQLSTATE XX000", r"file-size-limit|disk-full"),
    # The next worker waits before it joins the group; this one would hold the group up.
    Expected(
        r"^stream.*during a rebalance",
        r"kafka-.*|postgres-.*|freeze-(kafka|postgres)|disk-full|file-size-limit",
    ),
    # A write-ahead log that can't be written is a PANIC, by design of Postgres.
    Expected(r"^postgres: ", r"file-size-limit|disk-full"),
)


class End(NamedTuple):
    """Something ended by itself, or said that it can't go on."""

    at: datetime
    text: str


class Diary:
    """Which fault was the last to begin at any time."""

    def __init__(self) -> None:
        self._begun: list[tuple[datetime, str]] = []

    def begin(self, fault: str) -> None:
        """Note that a fault begins now."""
        self._begun.append((datetime.now(UTC), fault))

    def fault_at(self, at: datetime) -> str:
        """Give the fault that was the last to begin then."""
        return next((fault for begun, fault in reversed(self._begun) if begun <= at), "no fault")


def unexpected(diary: Diary, ends: Sequence[End], log: Path) -> list[str]:
    """Give the text of everything that ended and is not in the table, and under which fault.

    ``ends`` are those of processes that no signal of ours ended.
    """
    said = list(said_in(log))
    silent = [one for one in ends if one.text != WITH_AN_EVENT]
    found = []
    for end in [*said, *silent]:
        fault = diary.fault_at(end.at)
        if not any(
            re.search(one.pattern, end.text) and re.fullmatch(one.faults, fault) for one in EXPECTED
        ):
            found.append(f"unexpected end under {fault}: {end.text}")
    exits = len(ends) - len(silent)
    ended = sum('"worker_ends"' in one.text for one in said)
    if exits > ended:
        found.append(f"{exits} workers ended with 1, and only {ended} of them said why")
    return found


def said_in(log: Path) -> Iterator[End]:
    """Give every such event of the logs in a folder, in all their pieces."""
    for path in sorted(log.rglob("*-*.log*")):
        with path.open("rb") as lines:
            for line in lines:
                if not NEEDLE.search(line):
                    continue
                event = json.loads(line)
                if event.get("event") in EVENTS:
                    where = path.relative_to(log).as_posix()
                    text = f"{where}: {line.decode(errors='replace').strip()}"
                    yield End(datetime.fromisoformat(event["at"]), text)
