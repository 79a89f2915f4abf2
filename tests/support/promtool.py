"""Cases for alert rules in the format of ``promtool test rules``, run without promtool.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/ describes it. What is
not evaluated here is refused by name.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as parser
import yaml

from support.promql import NAME, Labels, Sample, Series, Unsupported, evaluate, vector

_RULE_KEYS = {"alert", "expr", "for", "labels", "annotations"}
_CASE_KEYS = {"name", "interval", "input_series", "alert_rule_test"}
_FILE_KEYS = {"rule_files", "evaluation_interval", "tests"}

Alert = tuple[Labels, frozenset[tuple[str, str]]]
"""Its labels, its annotations."""


class Case(NamedTuple):
    """What is to fire at a time, and what fires."""

    alert: str
    at: str
    wanted: set[Alert]
    found: set[Alert]


def rules_of(path: Path) -> dict[str, dict[str, Any]]:
    """The alert rules of a file, by name."""
    groups = yaml.safe_load(path.read_text("utf-8"))["groups"]
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    for rule in rules.values():
        if unknown := rule.keys() - _RULE_KEYS:
            raise Unsupported(f"{unknown} of a rule")
    return rules


def cases_of(path: Path) -> Iterator[Case]:
    """Run every case of a file, its rules at each evaluation from 0 on."""
    file = yaml.safe_load(path.read_text("utf-8"))
    _refuse_unknown(file, _FILE_KEYS)
    rules: dict[str, dict[str, Any]] = {}
    for name in file["rule_files"]:
        rules |= rules_of(path.parent / name)
    step = _seconds(file["evaluation_interval"])
    for test in file["tests"]:
        _refuse_unknown(test, _CASE_KEYS)
        interval = _seconds(test["interval"])
        series = dict(_series(one, interval) for one in test["input_series"])
        for asked in test["alert_rule_test"]:
            rule, at = rules[asked["alertname"]], _seconds(asked["eval_time"])
            expected = asked.get("exp_alerts", [])
            yield Case(
                asked["alertname"],
                f"{test['name']}, at {asked['eval_time']}",
                {(_pairs(one["exp_labels"]), _pairs(one["exp_annotations"])) for one in expected},
                _firing(rule, series, step, at),
            )


def _refuse_unknown(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := given.keys() - known:
        raise Unsupported(f"{unknown} in a file of cases")


def _firing(rule: Mapping[str, Any], series: Series, step: float, at: float) -> set[Alert]:
    """What fires then: what was active at each evaluation for as long as the rule says."""
    hold = _seconds(rule["for"]) if "for" in rule else 0.0
    last, first = int(at // step), int((at // step * step - hold) // step)
    if first < 0:
        return set()
    expression = parser.parse(rule["expr"])
    steps = (_active(expression, series, number * step) for number in range(last, first - 1, -1))
    active = next(steps)
    for earlier in steps:
        active = {labels: value for labels, value in active.items() if labels in earlier}
    return {
        (_pairs(rule["labels"]) | labels, _annotations(rule, labels, value))
        for labels, value in active.items()
    }


def _active(expression: Any, series: Series, at: float) -> dict[Labels, float]:
    found = vector(evaluate(expression, series, at))
    return {frozenset(one for one in labels if one[0] != NAME): v for labels, v in found.items()}


def _annotations(
    rule: Mapping[str, Any], labels: Labels, value: float
) -> frozenset[tuple[str, str]]:
    def shown(found: re.Match[str]) -> str:
        if label := re.fullmatch(r"\$labels\.(\w+)", found[1]):
            return dict(labels).get(label[1], "")
        if how := re.fullmatch(r"\$value \| (\w+)", found[1]):
            return _HUMAN[how[1]](value)
        raise Unsupported(f"the template {found[0]}")

    return frozenset(
        (name, re.sub(r"\{\{ (.*?) \}\}", shown, text))
        for name, text in rule["annotations"].items()
    )


def _humanize(value: float) -> str:
    prefixes = ["", "k", "M", "G", "T"]
    while abs(value) >= 1000 and len(prefixes) > 1:
        value /= 1000
        prefixes.pop(0)
    if 0 < abs(value) < 1 or not math.isfinite(value):
        raise Unsupported(f"humanize of {value}")
    return f"{value:.4g}{prefixes[0]}"


def _humanize_duration(seconds: float) -> str:
    if seconds < 1:
        raise Unsupported(f"humanizeDuration of {seconds}")
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    return f"{minutes}m {rest}s" if minutes else f"{seconds:.4g}s"


_HUMAN: dict[str, Callable[[float], str]] = {
    "humanize": _humanize,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": lambda value: f"{100 * value:.4g}%",
}


def _pairs(given: Mapping[str, Any]) -> Labels:
    return frozenset((name, str(value)) for name, value in given.items())


def _seconds(text: str) -> float:
    return parser.parse_duration(text).total_seconds()


def _series(given: Mapping[str, str], interval: float) -> tuple[Labels, list[Sample]]:
    selector = parser.parse(given["series"])
    if not isinstance(selector, parser.VectorSelector) or selector.name is None:
        raise Unsupported(f"the series {given['series']}")
    labels = {one.name: one.value for one in selector.matchers.matchers}
    return _pairs(labels | {NAME: selector.name}), _samples(given["values"], interval)


_match_item = re.compile(
    r"(?P<first>-?[0-9.]+(?:e[0-9]+)?)(?P<step>[+-][0-9.]+(?:e[0-9]+)?)?(?:x(?P<times>\d+))?"
).fullmatch


def _samples(text: str, interval: float) -> list[Sample]:
    """Read ``1+2x3`` (1, 3, 5, 7), ``4x2`` (4, 4, 4), ``_x2`` (nothing, twice) and ``stale``."""
    values: list[float | str | None] = []
    for item in text.split():
        if item == "stale":
            values.append(None)
        elif blank := re.fullmatch(r"_(?:x(\d+))?", item):
            values += ["_"] * int(blank[1] or 1)
        elif found := _match_item(item):
            first, step = float(found["first"]), float(found["step"] or 0)
            values += [first + step * number for number in range(int(found["times"] or 0) + 1)]
        else:
            raise Unsupported(f"the values {item}")
    return [
        Sample(number * interval, value)
        for number, value in enumerate(values)
        if not isinstance(value, str)
    ]
