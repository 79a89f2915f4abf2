"""Runs both sides in turn and keeps the ratios."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.lab import Lab
from bench.question import Figure, Figures, Question, Size

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was measured of one figure: one value of each side for each pair."""

    question: Question
    name: str
    ours: list[float]
    theirs: list[float]

    @property
    def figure(self) -> Figure:
        """What it is about."""
        return self.question.figures[self.name]

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, pair by pair."""
        return [one / other for one, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios: what the bound is about."""
        return median(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether the bound is kept."""
        return self.figure.holds(self.ratio)


async def ask(question: Question, size: Size, pairs: int, say: Say) -> list[Answer]:
    """Run the sides in turn on services of their own."""
    async with Lab() as lab:
        return await ask_in(lab, question, size, pairs, say)


async def ask_in(lab: Lab, question: Question, size: Size, pairs: int, say: Say) -> list[Answer]:
    """Run the sides in turn, ours first in every other pair."""
    ours: list[Figures] = []
    theirs: list[Figures] = []
    pairs = min(pairs, question.pairs_max or pairs)
    async with question.sides(lab, size) as sides:
        for pair in range(pairs):
            turns = [(question.ours, sides.ours, ours), (question.against, sides.theirs, theirs)]
            for name, run, found in turns if pair % 2 == 0 else reversed(turns):
                found.append(await run())
                say(f"  {pair + 1}/{pairs}  {name}: {_shown(question, found[-1])}")
    return [
        Answer(question, name, [one[name] for one in ours], [one[name] for one in theirs])
        for name in question.figures
    ]


def _shown(question: Question, figures: Figures) -> str:
    return ", ".join(
        f"{value:,.4g} {question.figures[name].unit}" for name, value in figures.items()
    )
