"""``python -m chaos``: one run from a seed; ends with 1 when anything is broken."""

import argparse
import asyncio
import secrets
import signal
import sys

import uvloop

from chaos.book import Book
from chaos.faults import FAULTS, HIDDEN_FAULTS
from chaos.report import Report, show
from chaos.run import Plan, run
from chaos.sabotages import NAMES


def main() -> int:
    """Run, print the tables, give the exit code."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    known = [*FAULTS, *HIDDEN_FAULTS]
    parser.add_argument("--seed", type=int, help="repeats an earlier schedule")
    parser.add_argument("--minutes", type=float, default=20, help="how long faults are injected")
    parser.add_argument(
        "--webhooks",
        type=int,
        default=20_000,
        help="how many at the least; their rate is this over --minutes",
    )
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of: {', '.join(known)}")
    parser.add_argument(
        "--fault-seconds-max", type=float, default=180, help="how long the longest fault lasts"
    )
    parser.add_argument("--session-seconds", type=float, default=15, help="a worker's session")
    parser.add_argument(
        "--workers", type=int, default=2, help="stream workers before and after each fault"
    )
    parser.add_argument("--sabotage", default="", choices=["", *NAMES], help="must end red")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave data and logs behind; <folder>/disk may have to be unmounted first",
    )
    given = parser.parse_args()
    faults = [name for name in given.faults.split(",") if name]
    if unknown := sorted(set(faults) - set(known)):
        parser.error(f"no such fault: {', '.join(unknown)}")
    plan = Plan(
        seed=secrets.randbits(32) if given.seed is None else given.seed,
        seconds=given.minutes * 60,
        webhooks=given.webhooks,
        faults=faults,
        fault_seconds_max=given.fault_seconds_max,
        session_seconds=given.session_seconds,
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
