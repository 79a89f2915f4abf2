"""What a bench asks: two sides that take turns, and the figures each of their runs gives."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bench.lab import Lab
from ostatok.settings import Settings

BATCH_RECORDS: int = Settings.model_fields["stream_batch_records_max"].default
"""How many records a transaction has at the most, on both sides of a question about applying."""


class Size(StrEnum):
    """How much of everything: ``full`` for figures, ``tiny`` to see that the bench still runs."""

    FULL = "full"
    TINY = "tiny"

    def of(self, full: int, tiny: int) -> int:
        """The number for this size."""
        return full if self is Size.FULL else tiny


Figures = Mapping[str, float]
"""Name of the figure → what one run of a side measured, in the figure's unit."""

Run = Callable[[], Awaitable[Figures]]


class Sides(NamedTuple):
    """What takes turns. Each call is one run, complete in itself."""

    ours: Run
    theirs: Run


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: ours divided by theirs, and what that must be.

    ``at_least`` or ``at_most`` is the bound of the ratio; with neither it is only reported.
    """

    what: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        """Whether a ratio keeps the bound."""
        return (self.at_least is None or ratio >= self.at_least) and (
            self.at_most is None or ratio <= self.at_most
        )

    @property
    def bound(self) -> str:
        """The bound for people."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing asked, in a file of its own or beside its like.

    ``sides`` starts what both sides need on the lab's services, and ends it.
    """

    name: str
    ours: str
    against: str
    figures: Mapping[str, Figure]
    sides: Callable[[Lab, Size], AbstractAsyncContextManager[Sides]]
    needs: str = ""
    """The folder under bench/peers whose requirements it needs; empty for none."""
    pairs_max: int | None = None
    """How often the sides take turns at the most, whatever is asked for; None: no limit."""
    alone: bool = False
    """It ends the lab's services: nothing else can be asked in that lab."""
