"""Charts, drawn as SVG on the server: no script draws, and nothing is fetched from anywhere."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 26, 24
TICKS = 3


class Axis(NamedTuple):
    """What is written at the ends of a chart's axis, and how."""

    least: float
    most: float
    write: Callable[[float], str]


def line(  # noqa: PLR0913  # a chart is as many things
    title: str,
    points: Sequence[tuple[float, float]],
    across: Axis,
    upward: Axis,
    *,
    steps: bool = False,
    second: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Draw one line, or two on the same axes; ``steps`` for what stays until it changes."""
    drawn = [_path(points, across, upward, steps=steps), _path(second, across, upward, steps=steps)]
    paths = Markup("").join(
        Markup('<path class="line line-{}" d="{}"/>').format(number, path)
        for number, path in enumerate(drawn, 1)
        if path
    )
    grid = Markup("").join(
        Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, at, at
        )
        for at in (TOP + (HEIGHT - TOP - BOTTOM) * tick / TICKS for tick in range(TICKS + 1))
    )
    labels = Markup("").join(
        Markup('<text class="label" x="{}" y="{}" text-anchor="{}">{}</text>').format(*label)
        for label in (
            (LEFT, TOP - 8, "start", upward.write(upward.most)),
            (LEFT, HEIGHT - BOTTOM - 4, "start", upward.write(upward.least)),
            (LEFT, HEIGHT - 6, "start", across.write(across.least)),
            (WIDTH - RIGHT, HEIGHT - 6, "end", across.write(across.most)),
        )
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>'
    ).format(WIDTH, HEIGHT, title, grid, paths, labels)


def _path(points: Sequence[tuple[float, float]], across: Axis, upward: Axis, *, steps: bool) -> str:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    span_x, span_y = across.most - across.least or 1, upward.most - upward.least or 1
    parts: list[str] = []
    for x, y in points:
        at_x = LEFT + width * (x - across.least) / span_x
        at_y = HEIGHT - BOTTOM - height * (y - upward.least) / span_y
        if not parts:
            parts.append(f"M{at_x:.1f} {at_y:.1f}")
        elif steps:
            parts.append(f"H{at_x:.1f}V{at_y:.1f}")
        else:
            parts.append(f"L{at_x:.1f} {at_y:.1f}")
    return "".join(parts)
