"""Every bench of ours still runs: in a tiny size, where no figure means anything.

Those that need a peer's packages stay out: they are installed by ``make bench`` alone.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bench.__main__ import questions
from bench.lab import Lab
from bench.pairs import ask, ask_in
from bench.question import Size
from bench.report import BEGIN, DOCUMENT, END, READMES, between, number

LIKE_ANOTHER = {
    "applied-conflicts",
    "applied-duplicates",
    "balances-token-cost",
    "webhooks-hmac-cost",
    "webhooks-signed",
}
"""Those that run what the others run, with other data."""

OURS = [
    pytest.param(name, marks=pytest.mark.long) if name in LIKE_ANOTHER else name
    for name, question in questions().items()
    if not question.needs
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    """Services that the benches share here, where no figure means anything."""
    async with Lab() as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", OURS)
async def test_a_bench_runs(lab: Lab, name: str) -> None:
    """Both sides give figures, and every answer is checked by the bench."""
    question = questions()[name]
    if question.alone:
        answers = await ask(question, Size.TINY, 1, print)
    else:
        answers = await ask_in(lab, question, Size.TINY, 1, print)
    assert [answer.name for answer in answers] == list(question.figures)
    assert all(answer.ratio > 0 for answer in answers)


def test_the_report_writes_between_its_marks() -> None:
    """What a person wrote around the figures stays, and a document without marks is refused."""
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert between(text, ["new"]) == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    for wrong in ("", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"):
        with pytest.raises(ValueError):
            between(wrong, [])


@pytest.mark.parametrize("path", [DOCUMENT, *READMES], ids=lambda path: path.name)
def test_the_documents_have_the_marks(path: Path) -> None:
    """Else the report could not be written."""
    assert between(path.read_text(encoding="utf-8"), [])


@pytest.mark.parametrize(
    ("value", "text"), [(52_345.6, "52,346"), (0.41234, "0.412"), (61.52, "61.5"), (2.0, "2")]
)
def test_numbers_for_people(value: float, text: str) -> None:
    """Three digits that mean something."""
    assert number(value) == text
