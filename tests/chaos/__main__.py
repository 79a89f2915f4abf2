"""``python -m chaos``: one run from a seed; ends with 1 when anything is broken."""

import argparse
import asyncio
import secrets
import signal
import sys

import uvloop

from chaos.book import Book
from chaos.faults import FAULTS, HIDDEN_FAULTS
from chaos.report import Report
from chaos.run import Plan, run, show
from chaos.sabotages import NAMES


def main() -> int:
    """Run, print the tables, give the exit code."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    known = [*FAULTS, *HIDDEN_FAULTS]
    parser.add_argument("--seed", type=int, help="repeats an earlier schedule")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults are injected")
    parser.add_argument("--webhooks", type=int, default=20_000, help="how many are posted")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of: {', '.join(known)}")
    parser.add_argument("--longest", type=float, default=600, help="seconds of the longest fault")
    parser.add_argument("--session", type=float, default=15, help="seconds of a worker's session")
    parser.add_argument("--workers", type=int, default=1, help="stream workers at the start")
    parser.add_argument("--sabotage", default="", choices=["", *NAMES], help="must end red")
    parser.add_argument("--keep", action="store_true", help="leave data and logs behind")
    given = parser.parse_args()
    faults = [name for name in given.faults.split(",") if name]
    if unknown := sorted(set(faults) - set(known)):
        parser.error(f"no such fault: {', '.join(unknown)}")
    plan = Plan(
        seed=secrets.randbits(32) if given.seed is None else given.seed,
        seconds=given.minutes * 60,
        webhooks=given.webhooks,
        faults=faults,
        fault_seconds_max=given.longest,
        session_seconds=given.session,
        sabotage=given.sabotage,
        workers=given.workers,
        keep=given.keep,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report, book = runner.run(_until_signal(plan))
        except (asyncio.CancelledError, KeyboardInterrupt):
            return 130
    show(report, book)
    return 0 if report.ok else 1


async def _until_signal(plan: Plan) -> tuple[Report, Book]:
    """Run; SIGTERM ends it in order, as Ctrl-C does."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await run(plan)


if __name__ == "__main__":
    sys.exit(main())
