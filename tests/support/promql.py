"""PromQL, as much of it as the alert rules use: promql-parser reads it, this evaluates it.

By the semantics of Prometheus 3: ranges and the lookback are open on the left. Whatever is not
written down here raises :class:`Unsupported`, which names it; so a rule that goes beyond can't pass
unevaluated. Where promtool is installed the same cases are run by it too.
"""

import math
import operator
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import promql_parser as parser

LOOKBACK_SECONDS = 300.0
NAME = "__name__"

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector


class Sample(NamedTuple):
    """One sample of a series; without a value it marks that the series has ended."""

    at: float
    value: float | None


Series = Mapping[Labels, Sequence[Sample]]


class Unsupported(NotImplementedError):
    """The expression uses something that tests/support/promql.py does not evaluate."""


def evaluate(expression: Any, series: Series, at: float) -> Value:
    """Evaluate a parsed expression at a time, in seconds."""
    match expression:
        case parser.NumberLiteral():
            return float(expression.val)
        case parser.ParenExpr():
            return evaluate(expression.expr, series, at)
        case parser.VectorSelector():
            return _latest(expression, series, at)
        case parser.Call():
            return _call(expression, series, at)
        case parser.AggregateExpr():
            return _aggregate(expression, series, at)
        case parser.BinaryExpr():
            left = evaluate(expression.lhs, series, at)
            right = evaluate(expression.rhs, series, at)
            return _binary(str(expression.op), expression.modifier, left, right)
    raise Unsupported(f"{type(expression).__name__} in {expression.prettify()}")


def vector(value: Value) -> Vector:
    """See that a value is a vector, as that of an alert's expression must be."""
    if isinstance(value, float):
        raise Unsupported("a scalar where a vector is wanted")
    return value


def select(selector: Any, series: Series) -> dict[Labels, Sequence[Sample]]:
    """The series that a selector names."""
    if selector.at is not None:
        raise Unsupported(f"@ in {selector.prettify()}")
    if selector.matchers.or_matchers:
        raise Unsupported(f"or between matchers in {selector.prettify()}")
    return {
        labels: samples
        for labels, samples in series.items()
        if (selector.name is None or dict(labels)[NAME] == selector.name)
        and all(_matches(one, dict(labels)) for one in selector.matchers.matchers)
    }


def _matches(matcher: Any, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op == parser.MatchOp.Equal:
        return bool(value == matcher.value)
    if matcher.op in (parser.MatchOp.Re, parser.MatchOp.NotRe):  # They have no hash.
        is_match = re.fullmatch(matcher.value, value) is not None
        return is_match is (matcher.op == parser.MatchOp.Re)
    raise Unsupported(f"the matcher {matcher}")


def _within(samples: Sequence[Sample], after: float, up_to: float) -> Sequence[Sample]:
    first, end = (bisect_right(samples, at, key=operator.itemgetter(0)) for at in (after, up_to))
    return samples[first:end]


def _latest(selector: Any, series: Series, at: float) -> Vector:
    found: Vector = {}
    if selector.offset is not None:
        at -= selector.offset.total_seconds()
    for labels, samples in select(selector, series).items():
        recent = _within(samples, at - LOOKBACK_SECONDS, at)
        if recent and recent[-1].value is not None:
            found[labels] = recent[-1].value
    return found


def _call(call: Any, series: Series, at: float) -> Vector:
    name = call.func.name
    if name in _OVER_RANGES:
        (matrix,) = call.args
        if not isinstance(matrix, parser.MatrixSelector):
            raise Unsupported(f"a subquery in {call.prettify()}")
        if matrix.vector_selector.offset is not None:
            raise Unsupported(f"the offset of a range in {call.prettify()}")
        seconds = matrix.range.total_seconds()
        found: Vector = {}
        for labels, samples in select(matrix.vector_selector, series).items():
            window = _within(samples, at - seconds, at)
            result = _OVER_RANGES[name]([(t, v) for t, v in window if v is not None], at, seconds)
            if result is not None:
                found[_without_name(labels)] = result
        return found
    if name == "absent":
        (given,) = call.args
        is_there = vector(evaluate(given, series, at))
        if isinstance(given, parser.VectorSelector) and given.matchers.matchers:
            raise Unsupported(f"absent of a selector with labels: {call.prettify()}")
        return {} if is_there else {frozenset(): 1.0}
    if name == "histogram_quantile":
        quantile, buckets = (evaluate(one, series, at) for one in call.args)
        return _histogram_quantile(float(quantile), vector(buckets))  # type: ignore[arg-type]
    raise Unsupported(f"the function {name}")


Points = Sequence[tuple[float, float]]


def _increase(points: Points, at: float, seconds: float) -> float | None:
    """Add up a counter's steps, with its restarts, and extrapolate to the ends of the range."""
    if len(points) < 2:
        return None
    (first_at, first), (last_at, _) = points[0], points[-1]
    steps = pairwise(points)
    result = sum(after - before if after >= before else after for (_, before), (_, after) in steps)
    sampled = last_at - first_at
    between = sampled / (len(points) - 1)
    to_start, to_end = first_at - (at - seconds), at - last_at
    to_start = between / 2 if to_start >= 1.1 * between else to_start
    to_end = between / 2 if to_end >= 1.1 * between else to_end
    if result > 0 and first >= 0:  # Before it was 0 there was nothing.
        to_start = min(to_start, sampled * first / result)
    return result * (sampled + to_start + to_end) / sampled


def _rate(points: Points, at: float, seconds: float) -> float | None:
    increase = _increase(points, at, seconds)
    return None if increase is None else increase / seconds


def _deriv(points: Points, _at: float, _seconds: float) -> float | None:
    """The slope of the straight line through them, by least squares."""
    if len(points) < 2:
        return None
    mean_at = math.fsum(t for t, _ in points) / len(points)
    mean = math.fsum(v for _, v in points) / len(points)
    spread = math.fsum((t - mean_at) ** 2 for t, _ in points)
    return math.fsum((t - mean_at) * (v - mean) for t, v in points) / spread


def _changes(points: Points, _at: float, _seconds: float) -> float | None:
    values = [value for _, value in points]
    return float(sum(map(operator.ne, values, values[1:]))) if values else None


_OVER_RANGES: dict[str, Callable[[Points, float, float], float | None]] = {
    "increase": _increase,
    "rate": _rate,
    "deriv": _deriv,
    "changes": _changes,
}


def _histogram_quantile(quantile: float, buckets: Vector) -> Vector:
    grouped: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        rest = frozenset(one for one in _without_name(labels) if one[0] != "le")
        grouped.setdefault(rest, []).append((bound, count))
    return {labels: _quantile(quantile, sorted(some)) for labels, some in grouped.items()}


def _quantile(quantile: float, buckets: Points) -> float:
    if len(buckets) < 2 or buckets[-1][0] != math.inf or not buckets[-1][1]:
        return math.nan
    rank = quantile * buckets[-1][1]
    number = next(n for n, (_, count) in enumerate(buckets) if count >= rank)
    if number == len(buckets) - 1:
        return buckets[-2][0]
    start, before = buckets[number - 1] if number else (0.0, 0.0)
    end, count = buckets[number]
    return start + (end - start) * (rank - before) / (count - before)


_AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
}


def _aggregate(expression: Any, series: Series, at: float) -> Vector:
    name, modifier = str(expression.op), expression.modifier
    if name not in _AGGREGATIONS or expression.param is not None:
        raise Unsupported(f"the aggregation {name}")
    if modifier is not None and modifier.type != parser.AggModifierType.By:
        raise Unsupported(f"without in {expression.prettify()}")
    kept = modifier.labels if modifier else []
    grouped: dict[Labels, list[float]] = {}
    for labels, value in vector(evaluate(expression.expr, series, at)).items():
        group = frozenset(one for one in labels if one[0] in kept)
        grouped.setdefault(group, []).append(value)
    return {labels: _AGGREGATIONS[name](values) for labels, values in grouped.items()}


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def _binary(name: str, modifier: Any, left: Value, right: Value) -> Vector:
    """A comparison drops what it is not true of; arithmetic drops the name."""
    if modifier is not None and (modifier.return_bool or modifier.group_labels):
        raise Unsupported(f"bool or group_… of {name}")
    if modifier is not None and modifier.matching is not None and modifier.matching.labels:
        raise Unsupported(f"on or ignoring with labels, of {name}")
    on_nothing = modifier is not None and modifier.matching is not None
    first = vector(left)
    if name in {"and", "or", "unless"}:
        second = vector(right)
        keys = {_key(labels, on_nothing=on_nothing) for labels in second}
        if name != "or":
            wanted = name == "and"
            return {
                one: v
                for one, v in first.items()
                if (_key(one, on_nothing=on_nothing) in keys) == wanted
            }
        there = {_key(labels, on_nothing=on_nothing) for labels in first}
        rest = ((one, v) for one, v in second.items() if _key(one, on_nothing=False) not in there)
        return first | dict(rest)
    if on_nothing:
        raise Unsupported(f"on or ignoring of {name}")
    if isinstance(right, float):
        pairs: Iterable[tuple[Labels, float, float]] = ((one, v, right) for one, v in first.items())
    else:
        others = {_without_name(labels): value for labels, value in right.items()}
        pairs = (
            (labels, value, others[_without_name(labels)])
            for labels, value in first.items()
            if _without_name(labels) in others
        )
    if name in _COMPARISONS:
        return {labels: v for labels, v, other in pairs if _COMPARISONS[name](v, other)}
    if name == "/":
        return {_without_name(labels): _divide(v, other) for labels, v, other in pairs}
    raise Unsupported(f"the operator {name}")


def _key(labels: Labels, *, on_nothing: bool) -> Labels:
    return frozenset() if on_nothing else _without_name(labels)


def _without_name(labels: Labels) -> Labels:
    return frozenset(one for one in labels if one[0] != NAME)
