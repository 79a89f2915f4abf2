"""What a run prints at its end."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from chaos.book import Book
from chaos.evidence import Evidence
from chaos.invariants import Broken

SHOWN_MAX = 3


@dataclass(slots=True)
class Report:
    """What happened, and what was found."""

    seed: int
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    not_done: dict[str, str] = field(default_factory=dict)
    """Faults that were tried and did not come about, and why."""
    troubles: list[str] = field(default_factory=list)
    """What went wrong beside the invariants: a fault never healed, lag that stayed."""
    broken: dict[str, list[Broken]] = field(default_factory=dict)
    stories: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.troubles and not any(self.broken.values())

    @property
    def faults(self) -> int:
        """How many faults there were."""
        return sum(map(len, self.recoveries.values()))

    def found(self, name: str, broken: list[Broken], evidence: Evidence) -> None:
        """Keep what an invariant's check found, with the first operation's story."""
        self.broken[name] = broken
        operations = [one.operation_id for one in broken if one.operation_id]
        if operations:
            self.stories += evidence.story(operations[0])

    def lines(self, book: Book) -> Iterator[str]:
        """The tables."""
        yield f"{'fault':26}{'times':>6}{'recovery median, s':>20}{'worst, s':>10}"
        for name, seconds in sorted(self.recoveries.items()):
            yield f"{name:26}{len(seconds):6}{median(seconds):20.1f}{max(seconds):10.1f}"
        yield f"{'all':26}{self.faults:6}"
        yield from (f"  not done: {name}: {why}" for name, why in self.not_done.items())
        yield ""
        yield f"{book.webhooks} webhooks posted, {len(book.acknowledged())} operations acknowledged"
        for answer, count in sorted(book.answers.items()):
            yield f"  {answer:24}{count:9}"
        yield ""
        for name, broken in self.broken.items():
            yield f"  {'BROKEN' if broken else 'OK':8}{name}"
            for one in broken[:SHOWN_MAX]:
                yield f"          {one.what}"
            if len(broken) > SHOWN_MAX:
                yield f"          … and {len(broken) - SHOWN_MAX} more"
        yield from (f"  TROUBLE {trouble}" for trouble in self.troubles)
        yield from self.stories
        yield f"{'All held' if self.ok else 'BROKEN'}; seed {self.seed}"


def show(report: Report, book: Book) -> None:
    """Print the tables."""
    sys.stdout.write("\n".join(report.lines(book)) + "\n")
