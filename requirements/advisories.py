"""Ask whether an advisory speaks of a package of the lock files. Run by ``make advisories``.

It asks PyPI, and OSV where PyPI does not answer. A mirror that has packages and no advisories is
no answer: pip-audit counts what it was not told about as skipped, and would end well with that.
Exit status: 0 nothing was found, or nobody could be asked, which is said; 1 something was found; 2
nobody could be asked, and ``--must-ask`` was given.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
LOCKS = ("service.txt", "local.txt", "dev.txt", "bench.txt")
ACCEPTED = FOLDER / "accepted-advisories.toml"
SERVICES = ("pypi", "osv")
ANSWER_SECONDS_MAX = 5
ASKING_SECONDS_MAX = 180

FOUND, UNASKED = 1, 2


class Advisory(NamedTuple):
    """What somebody has published about a version that we lock."""

    package: str
    version: str
    ids: frozenset[str]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        fixed = f"mended in {', '.join(self.fixed_in)}" if self.fixed_in else "not mended yet"
        return f"{self.package} {self.version}: {', '.join(sorted(self.ids))}, {fixed}"


class Answer(NamedTuple):
    """What a service said."""

    asked: int
    """Packages that it knew of."""
    unknown: list[str]
    """Packages that it did not know of."""
    advisories: list[Advisory]


def ask(service: str, options: Sequence[str]) -> Answer | str:
    """Ask one service about all that is locked. A text is why there is no answer."""
    files = [word for name in LOCKS for word in ("--requirement", str(FOLDER / name))]
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", *files),
                # Nothing is fetched: all that is to be known of the packages is in the files.
                *("--require-hashes", "--disable-pip", "--progress-spinner", "off"),
                *("--timeout", str(ANSWER_SECONDS_MAX), "--vulnerability-service", service),
                *("--format", "json", "--aliases", "on", "--desc", "off", *options),
            ],
            capture_output=True,
            text=True,
            timeout=ASKING_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {ASKING_SECONDS_MAX} s"
    if not done.stdout.startswith("{"):
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    return read_answer(json.loads(done.stdout)["dependencies"])


def read_answer(told: Sequence[Mapping[str, Any]]) -> Answer | str:
    """Read what pip-audit tells of each package."""
    known = [one for one in told if "skip_reason" not in one]
    if not known:
        return "it knows none of the packages"
    unknown = sorted(one["name"] for one in told if "skip_reason" in one)
    advisories = [_advisory(one, about) for one in known for about in one["vulns"]]
    return Answer(len(known), unknown, sorted(advisories, key=str))


def _advisory(package: Mapping[str, Any], about: Mapping[str, Any]) -> Advisory:
    ids = frozenset([about["id"], *about["aliases"]])
    return Advisory(package["name"], package["version"], ids, tuple(about["fix_versions"]))


def accepted(path: Path, today: date) -> frozenset[str]:
    """The advisories that are let pass today. Ends the program when an entry is not whole."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
    for one in entries:
        if set(one) != {"id", "package", "reason", "until"} or type(one["until"]) is not date:
            raise SystemExit(f"{path.name}: {one} needs an id, a package, a reason and until = day")
    return frozenset(one["id"] for one in entries if today < one["until"])


def report(answer: Answer, let_pass: frozenset[str]) -> int:
    """Say what was found, and give the exit status."""
    for name in answer.unknown:
        print(f"{name}: not known there, so not asked about")
    open_ones = [one for one in answer.advisories if not one.ids & let_pass]
    for one in open_ones:
        print(one)
    passed = len(answer.advisories) - len(open_ones)
    print(
        f"{answer.asked} packages asked about, {len(open_ones)} advisories open, "
        f"{passed} accepted in {ACCEPTED.name}."
    )
    return FOUND if open_ones else 0


def main() -> int:
    """Ask the services in turn, until one answers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--must-ask", action="store_true", help=f"exit {UNASKED} when nobody could be asked"
    )
    parser.add_argument("--accepted", type=Path, default=ACCEPTED, help="file of the accepted ones")
    parser.add_argument("--osv-url", help="address of an OSV mirror: it alone is asked then")
    given = parser.parse_args()
    let_pass = accepted(given.accepted, datetime.now(UTC).date())
    services = ("osv",) if given.osv_url else SERVICES
    silent: list[str] = []
    for service in services:
        answer = ask(service, ("--osv-url", given.osv_url) if given.osv_url else ())
        if isinstance(answer, Answer):
            return report(answer, let_pass)
        silent.append(f"{service} ({answer})")
    print(f"Nobody could be asked about advisories: {', '.join(silent)}.")
    return UNASKED if given.must_ask else 0


if __name__ == "__main__":
    sys.exit(main())
