"""The plots of the report, as SVG that a browser's fonts draw."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.results import Measured, Result

KEPT, MISSED, PEER = "#1a7f5a", "#c0392b", "#b8bcc4"
ROW_INCHES = 0.36


def draw(rows: Iterable[tuple[Result, Measured]], folder: Path) -> None:
    """Write ``ratios.svg`` and ``rates.svg`` into a folder."""
    rows = list(rows)
    folder.mkdir(parents=True, exist_ok=True)
    _ratios([one for one in rows if one[1].bound], folder / "ratios.svg")
    _rates([one for one in rows if one[1].unit == "/s"], folder / "rates.svg")


def _ratios(rows: Sequence[tuple[Result, Measured]], path: Path) -> None:
    """How far each ratio is on the right side of its bound: 1 is the bound itself."""
    axes, save = _figure(len(rows), path)
    for at, (_, one) in enumerate(rows):
        how, bound = one.bound.split()
        limit = float(bound)
        margins = [value / limit if how == "≥" else limit / value for value in one.ratios]
        colour = KEPT if one.holds else MISSED
        axes.plot([min(margins), max(margins)], [at, at], color=colour, linewidth=2, alpha=0.5)
        axes.plot([median(margins)], [at], "o", color=colour)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times better than the bound (median, and all turns)")
    axes.set_yticks(range(len(rows)), [f"{result.question}: {one.name}" for result, one in rows])
    save()


def _rates(rows: Sequence[tuple[Result, Measured]], path: Path) -> None:
    """What each side made in a second."""
    axes, save = _figure(2 * len(rows), path)
    for at, (_, one) in enumerate(rows):
        axes.barh(at - 0.2, median(one.ours), height=0.36, color=KEPT)
        axes.barh(at + 0.2, median(one.theirs), height=0.36, color=PEER)
    axes.set_xscale("log")
    axes.set_xlabel("per second, median: Ostatok green, what it is measured against grey")
    axes.set_yticks(range(len(rows)), [f"{result.question}" for result, _ in rows])
    save()


def _figure(lines: int, path: Path) -> tuple[Any, Any]:
    """Axes with room for so many lines, the first at the top, and what writes them to a file."""
    import matplotlib  # noqa: ICN001, PLC0415  # only who makes the report needs it

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ostatok"})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 1 + ROW_INCHES * lines), layout="constrained")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)

    def save() -> None:
        axes.invert_yaxis()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)

    return axes, save
