"""``make bench-report``: what was measured last, as tables in both READMEs and docs/benchmarks.md.

Only what stands between the marks is written anew; the words around it are a person's.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench import plots
from bench.__main__ import questions
from bench.results import FOLDER, ROOT, Measured, Result, kept

BEGIN, END = "<!-- figures: written by make bench-report -->", "<!-- end of the figures -->"
Rows = Sequence[tuple[Result, Measured]]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
READMES = (ROOT / "README.md", ROOT / "README.ru.md")


def main() -> int:
    """Write the report, and give the exit code."""
    results = _in_order(kept())
    if not results:
        print(f"Nothing is kept in {FOLDER}. Run make bench first.", file=sys.stderr)  # noqa: T201
        return 1
    rows = [(result, figure) for result in results for figure in result.figures]
    _write(DOCUMENT, _table(rows))
    for readme in READMES:
        _write(readme, _summary(rows))
    plots.draw(rows, DOCUMENT.with_suffix(""))
    return 0


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text(between(path.read_text(encoding="utf-8"), lines), encoding="utf-8")


def between(text: str, lines: Iterable[str]) -> str:
    """Replace what stands between the marks. Raises ValueError when they are not there once."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"There must be one {BEGIN} and then one {END}.")
    return "\n".join([before + BEGIN, "", *lines, "", END + after])


def number(value: float) -> str:
    """Three digits that mean something, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _in_order(results: Mapping[str, Result]) -> list[Result]:
    """As the questions stand in the files; an answer to a question that is gone is left out."""
    return [results[name] for name in questions() if name in results]


def _table(rows: Rows) -> Iterator[str]:
    yield "| figure | of | against | ratio, median (min to max) | bound | |"
    yield "|---|---:|---:|---:|---|---|"
    for result, one in rows:
        ours = f"{result.ours}: {number(median(one.ours))} {one.unit}"
        theirs = f"{result.against}: {number(median(one.theirs))} {one.unit}"
        spread = f"{number(min(one.ratios))} to {number(max(one.ratios))}"
        yield (
            f"| {one.what} | {ours} | {theirs} | **{number(median(one.ratios))}** ({spread}) "
            f"| {one.bound} | {_verdict(one)} |"
        )
    yield ""
    yield "Each by its command, on its commit:"
    yield ""
    for result in {result.question: result for result, _ in rows}.values():
        pairs = len(result.figures[0].ratios)
        turns = "one turn each" if pairs == 1 else f"{pairs} turns each"
        yield f"- `{result.command}` — {turns}, {result.at}, commit {result.commit}"
    yield ""
    for fact in dict.fromkeys(result.machine for result, _ in rows):
        yield f"Machine: {fact}. Load and services ran on the same cores."
    for fact in dict.fromkeys(result.versions for result, _ in rows):
        yield f"Versions: {fact}."


def _summary(rows: Rows) -> Iterator[str]:
    """The ratios alone."""
    yield "| Ostatok | against | figure | ratio | wanted |"
    yield "|---|---|---|---:|---|"
    for result, one in rows:
        ratio = number(median(one.ratios))
        wanted = f"{one.bound}{'' if one.holds else ', missed'}" if one.bound else ""
        yield f"| {result.ours} | {result.against} | {one.what} | {ratio} | {wanted} |"


def _verdict(one: Measured) -> str:
    if not one.bound:
        return ""
    return "holds" if one.holds else "**missed**"


if __name__ == "__main__":
    sys.exit(main())
