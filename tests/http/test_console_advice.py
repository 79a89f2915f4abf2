"""What the console advises about recovery: what docs/recovery.md says, whatever was found."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from support.payments import TOPIC

from ostatok.cli import main
from ostatok.errors import (
    JournalMismatch,
    JournalUnavailable,
    LedgerNotMigrated,
    LedgerUnavailable,
)
from ostatok.topic import Range, check_held
from ostatok_db.ledger import check_topic
from ostatok_db.runs import Command, Run
from ostatok_http.console import recovery
from ostatok_http.console.looks import Look, PartitionOffsets, Seen
from ostatok_http.console.recovery import Advice, of_audits, of_topic
from ostatok_http.console.texts import texts

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 4, 28, 12, 0, tzinfo=UTC)
ALL = {one.text: one for one in vars(recovery).values() if isinstance(one, Advice)}


def standing(earliest: int, next_offset: int, end: int) -> PartitionOffsets:
    """Where a partition stands."""
    return PartitionOffsets(3, earliest, end, next_offset)


def seen(*standings: PartitionOffsets, problem: JournalUnavailable | None = None) -> Seen:
    """What was seen, in one look."""
    received = sum(one.end for one in standings)
    applied = sum(one.next_offset for one in standings)
    lag = sum(one.lag for one in standings)
    look = Look(NOW, 1.0, frozenset({"mine"}), standings, received, applied, lag)
    return Seen((look,), (), (), problem)


def run(command: Command = "audit", /, **changes: Any) -> Run:
    """A run that ended well an hour ago."""
    began = NOW - timedelta(hours=1)
    values: dict[str, Any] = {
        "id": 1,
        "command": command,
        "arguments": {},
        "run_by": "me",
        "host": "desk",
        "started_at": began,
        "ended_at": began + timedelta(minutes=1),
        "exit_status": 0,
        "result": {"wrong": 0},
        "running": False,
    }
    return Run(**{**values, **changes})


GOOD = seen(standing(0, 5, 7))


def mismatch_of(described: tuple[str, int] | None, held: Range) -> JournalMismatch:
    """What the checks of the journal say about a topic; the ledger's is "mine", applied up to 5."""
    try:
        check_topic({3: (5, "mine")}, topic=TOPIC, described=described)
        check_held(TOPIC, {3: held}, {3: 5})
    except JournalMismatch as error:
        return error
    raise AssertionError("they found nothing")


@pytest.mark.parametrize(
    ("described", "held", "advice"),
    [
        (None, Range(0, 7), recovery.TOPIC_LOST),
        (("another", 1), Range(0, 0), recovery.TOPIC_LOST),
        (("mine", 2), Range(0, 7), recovery.PARTITIONS_CHANGED),
        (("mine", 1), Range(6, 7), recovery.TOPIC_CUT),
        (("mine", 1), Range(0, 4), recovery.TOPIC_SHORT),
    ],
)
def test_a_topic_that_does_not_fit_has_an_advice_of_its_own(
    described: tuple[str, int] | None, held: Range, advice: Advice
) -> None:
    """By what the check of the journal found, also while nobody can look again."""
    mismatch = mismatch_of(described, held)
    away = seen(problem=JournalUnavailable())
    # A topic made anew is an empty one, and seems to have lost its end.
    for look in (GOOD, away, seen(standing(0, 5, 0))):
        assert of_topic(look._replace(problem=mismatch)) is advice


@pytest.mark.parametrize(
    ("look", "advice"),
    [
        (GOOD, None),
        (seen(standing(5, 5, 5)), None),
        (seen(standing(0, 1, 7), standing(6, 5, 7)), recovery.TOPIC_CUT),
        (seen(standing(0, 1, 7), standing(0, 5, 4)), recovery.TOPIC_SHORT),
        (seen(standing(0, 5, 7), problem=JournalUnavailable()), recovery.UNSEEN),
        (seen(standing(6, 5, 7), problem=JournalUnavailable()), recovery.UNSEEN),
        (Seen((), (), (), None), recovery.UNSEEN),
        (Seen((), (), (), LedgerNotMigrated()), recovery.NO_LEDGER),
        (GOOD._replace(unread=LedgerUnavailable()), None),
    ],
)
def test_a_look_of_the_page_is_enough(look: Seen, advice: Advice | None) -> None:
    """It does not wait for the check to find the same; what could not be looked at is not well."""
    assert of_topic(look) is advice


@pytest.mark.parametrize(
    ("runs", "advice"),
    [
        ([], recovery.NEVER_AUDITED),
        ([run("audit --digest"), run("rebuild")], recovery.NEVER_AUDITED),
        ([run("rebuild", exit_status=1), run()], recovery.ALL_WELL),
        ([run(started_at=NOW - timedelta(hours=25))], recovery.AUDIT_OLD),
        ([run(ended_at=None, exit_status=None, result=None, running=True)], recovery.AUDIT_RUNNING),
        ([run(ended_at=None, exit_status=None, result=None)], recovery.AUDIT_KILLED),
        ([run(exit_status=1, result={"wrong": 2, "error": "2 are"})], recovery.AUDIT_FOUND),
        ([run(exit_status=130, result={})], recovery.AUDIT_FAILED),
        ([run(exit_status=1, result={"wrong": 0})], recovery.AUDIT_FAILED),
    ],
)
def test_the_last_audit_says_what_is_next(runs: list[Run], advice: Advice) -> None:
    """Whatever else ran; all is well only when it came to its end, lately, and found nothing."""
    assert of_audits(runs, NOW) == advice


def test_an_audit_that_could_not_look_found_nothing() -> None:
    """It ends with 1 as one that found something does; what it said is the advice then."""
    said = {"error": "Kafka did not answer in time.", "hint": "Start it."}
    advice = of_audits([run(exit_status=1, result=said)], NOW)
    assert advice.text == "audit_failed"
    assert advice.said == ("Kafka did not answer in time.", "Start it.")


def section_of(advice: Advice) -> str:
    """Give a section of a document, by its heading."""
    document = (ROOT / advice.document).read_text(encoding="utf-8")
    heading = re.escape(advice.section or "")
    pattern = re.compile(rf"^## {heading}\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    (section,) = pattern.findall(document)
    return str(section)


@pytest.mark.parametrize("advice", ALL.values(), ids=list(ALL))
def test_an_advice_is_in_the_documents(advice: Advice) -> None:
    """Its section is there and has its commands, each of which the program has."""
    assert f"recovery.{advice.text}" in texts()
    assert not advice.commands or advice.section
    if advice.section:
        section = section_of(advice)
        for command in advice.commands:
            assert command.partition(" {")[0] in section
            assert_is_command(command)


def assert_is_command(line: str) -> None:
    """See that the program would take a command line, short of running it."""
    words = line.format(folder="a", new_folder="b").split()
    command: click.Command = main
    assert words.pop(0) == "ostatok"
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("it", words)


def test_texts_name_what_the_documents_have() -> None:
    """A paragraph, and how commands are run after `make run` and in compose."""
    assert "**It lost its end**" in section_of(recovery.TOPIC_SHORT)
    runbook = (ROOT / recovery.RUNBOOK).read_text(encoding="utf-8")
    for language in ("ru", "en"):
        assert "It lost its end" in texts()["recovery.topic_short"][language]
        for way in (
            ".venv/bin/ostatok …",
            "--data .ostatok",
            "docker compose run --rm --no-deps stream …",
        ):
            assert way in texts()["recovery.how"][language]
            assert way in runbook
