"""The command line of a bench: asks, prints, and ends with 1 when a bound is missed."""

import argparse
import asyncio

import uvloop

from bench.pairs import Answer, ask
from bench.question import Question, Size
from bench.results import keep


def main(known: dict[str, Question]) -> int:
    """Ask what is wanted of the questions known, print, and give the exit code."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--only", default="", help=f"of: {', '.join(known)}")
    parser.add_argument("--pairs", type=int, default=5, help="how often both sides take turns")
    parser.add_argument("--size", type=Size, default=Size.FULL, choices=list(Size))
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or list(known)
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no such question: {', '.join(unknown)}")
    answers: list[Answer] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name in names:
            _say(f"{name}: {known[name].ours} against {known[name].against}")
            found = runner.run(ask(known[name], given.size, given.pairs, _say))
            if given.size is Size.FULL:
                keep(found, f"make bench ONLY={name}")
            answers += found
    for answer in answers:
        low, high = min(answer.ratios), max(answer.ratios)
        verdict = "" if not answer.figure.bound else "holds" if answer.holds else "MISSED"
        _say(
            f"{answer.question.name:16} {answer.figure.what}: {answer.ratio:.3g} "
            f"({low:.3g} to {high:.3g}) {answer.figure.bound} {verdict}".rstrip()
        )
    return 0 if given.size is Size.TINY or all(one.holds for one in answers) else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # it talks to a person
