"""The alert rules: each fires when it should and not else, and docs/operations.md explains it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from support.promql import NAME, Sample, Unsupported, evaluate
from support.promtool import Case, cases_of, rules_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "observability"
RULES = rules_of(FOLDER / "alerts.yml")
CASES = list(cases_of(FOLDER / "alerts.test.yml"))
SEVERITIES = ("critical", "warning", "info")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def titles(cases: list[Case]) -> Iterator[str]:
    """Name cases by what they are about."""
    for one in cases:
        yield f"{one.alert}: {one.at}"


@pytest.mark.parametrize("case", CASES, ids=titles(CASES))
def test_what_fires_is_what_should(case: Case) -> None:
    """At that time these alerts fire, with these labels and texts, and no others of the name."""
    assert case.found == case.wanted


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_shown_both_ways(name: str) -> None:
    """It has a case in which it fires, and one in which it does not."""
    assert {bool(case.wanted) for case in CASES if case.alert == name} == {True, False}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_what_to_do(name: str) -> None:
    """It has a severity, both sentences, and a link to its own section, which is there."""
    labels, texts = RULES[name]["labels"], RULES[name]["annotations"]
    assert labels.keys() == {"severity"}
    assert labels["severity"] in SEVERITIES
    assert texts.keys() == {"summary", "description", "runbook"}
    assert not texts["summary"].endswith(".")
    assert texts["description"].endswith(".")
    assert texts["runbook"] == f"docs/operations.md#{name.lower()}"


def test_every_alert_has_its_section_and_every_section_an_alert() -> None:
    """In the order of the file, each with its severity."""
    sections = re.findall(r"^### (Ostatok\w+)\n\n\*(\w+)", OPERATIONS, re.MULTILINE)
    assert sections == [(name, rule["labels"]["severity"]) for name, rule in RULES.items()]


def test_links_of_the_document_lead_somewhere() -> None:
    """To files that are there, and to headings that are in them."""
    for file, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", OPERATIONS):
        path = ROOT / "docs" / (file or "operations.md")
        assert path.exists(), file
        headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE) if anchor else []
        anchors = {
            re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings
        }
        assert not anchor or anchor in anchors, anchor


@pytest.mark.parametrize(
    "expression",
    [
        "topk(3, up)",
        "stddev(up)",
        "sum without (job) (up)",
        "rate(up[5m] offset 1h)",
        "up @ 0",
        "max_over_time(up[5m])",
        "rate(sum(up)[5m:1m])",
        "up + up",
        "up == bool 1",
        "up / on (job) up",
        "up unless on (job) up",
        'absent(up{job="a"})',
        "-up",
        "1 + 1",
    ],
)
def test_what_is_not_evaluated_is_refused(expression: str) -> None:
    """A rule that goes beyond the evaluator fails its test and says by what."""
    series = {frozenset({NAME: "up", "job": "a"}.items()): [Sample(0, 1.0), Sample(60, 1.0)]}
    with pytest.raises(Unsupported, match=r"\w"):
        evaluate(promql_parser.parse(expression), series, 60)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_promtool_agrees() -> None:
    """Where it is there, it accepts the configuration and the rules, and runs the same cases."""
    for command in (
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ):
        subprocess.run(["promtool", *command], cwd=FOLDER, check=True, timeout=120)
