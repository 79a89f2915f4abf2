"""What was measured, kept for the report: one file a question, the newest run only."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.pairs import Answer
from ostatok.local.jars import kafka_version
from ostatok.local.postgres import programs

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".bench" / "results"
PACKAGES = ("aiohttp", "aiokafka", "confluent-kafka", "faust-streaming", "psycopg", "uvloop")


class Measured(msgspec.Struct, frozen=True):
    """One row of the table; see :class:`bench.question.Figure`."""

    name: str
    what: str
    unit: str
    bound: str
    holds: bool
    ratios: Sequence[float]
    ours: Sequence[float]
    theirs: Sequence[float]


class Result(msgspec.Struct, frozen=True):
    """One question's answer, with where and when it was measured."""

    question: str
    ours: str
    against: str
    command: str
    at: str
    """The day, UTC."""
    commit: str
    machine: str
    versions: str
    figures: Sequence[Measured]


def keep(answers: Sequence[Answer], command: str) -> None:
    """Write a question's answers down in place of those of an earlier run."""
    question = answers[0].question
    result = Result(
        question=question.name,
        ours=question.ours,
        against=question.against,
        command=command,
        at=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        machine=_machine(),
        versions=_versions(),
        figures=[
            Measured(
                name=one.name,
                what=one.figure.what,
                unit=one.figure.unit,
                bound=one.figure.bound,
                holds=one.holds,
                ratios=one.ratios,
                ours=one.ours,
                theirs=one.theirs,
            )
            for one in answers
        ],
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{question.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))


def kept() -> dict[str, Result]:
    """Give what was kept, by question."""
    found = [msgspec.json.decode(path.read_bytes(), type=Result) for path in FOLDER.glob("*.json")]
    return {one.question: one for one in found}


def _commit() -> str:
    """The commit that was measured, marked when there were changes beside it."""
    described = ("git", "describe", "--always", "--abbrev=7", "--dirty=+changes", "--exclude=*")
    done = subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{os.cpu_count()} cores ({_model()}), {gibibytes:.0f} GiB, {system}"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    asked = (str(programs() / "postgres"), "--version")
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    services = f"Kafka {kafka_version()}, PostgreSQL {said[2]}"
    return f"Python {platform.python_version()}, {services}, {packages}"
