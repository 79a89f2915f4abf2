"""The harness of `make chaos`, short: every kind of fault once; and red for each sabotage."""

import asyncio
from typing import Any, NamedTuple

import pytest
from chaos.faults import FAULTS
from chaos.report import Report, show
from chaos.run import Plan, run
from chaos.sabotages import NAMES

EACH_ONCE: dict[str, Any] = {"once": True}
OPTIONAL = {"disk-full", "file-size-limit"}
"""What needs more rights than every user has on every machine."""


def played(plan: Plan) -> Report:
    """A run of the plan, its tables printed."""
    report, book = asyncio.run(run(plan))
    show(report, book)
    return report


@pytest.mark.timeout(400)
def test_nothing_is_lost_or_counted_twice_under_any_fault() -> None:
    """Every kind of fault once under load: every invariant holds, and all heals by itself."""
    plan = Plan(
        seed=4, seconds=120, webhooks=6_000, fault_seconds_max=3, session_seconds=3, **EACH_ONCE
    )
    report = played(plan)
    assert report.ok
    assert report.not_done.keys() <= OPTIONAL
    assert report.recoveries.keys() | report.not_done.keys() == FAULTS.keys()


class Sabotage(NamedTuple):
    """Faults that bring a broken promise to light, and the invariant that must say so."""

    faults: list[str]
    invariant: str
    fault_seconds: float = 3
    session_seconds: float = 3


ONE_OUTCOME = "every record has exactly one outcome"
ACKNOWLEDGED = "acknowledged operations are in the ledger exactly once"
SABOTAGES = {
    "offset-first": Sabotage(["kill-between"], ACKNOWLEDGED),
    "no-deduplication": Sabotage(["poison"], ONE_OUTCOME),
    # Frozen for longer than its session lasts: another worker has its partitions, and goes on.
    "no-fence": Sabotage(["freeze-past-the-fence"], "stored offsets never went back", 6, 2),
    # Frozen for less: another partition's worker waits for its row.
    "one-statement": Sabotage(["freeze-a-moment-in-transaction"] * 8, ONE_OUTCOME, 1, 6),
    "early-200": Sabotage(["kill-http-before-ack"], ACKNOWLEDGED),
}


def test_each_promise_is_broken_once() -> None:
    """No sabotage is without its test."""
    assert SABOTAGES.keys() == set(NAMES)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SABOTAGES)
def test_a_broken_promise_is_found(name: str) -> None:
    """With the promise broken on purpose the run ends red, at the invariant that it is about."""
    sabotage = SABOTAGES[name]
    plan = Plan(
        seed=4,
        seconds=12,
        webhooks=1_200,
        faults=sabotage.faults,
        fault_seconds_max=sabotage.fault_seconds,
        session_seconds=sabotage.session_seconds,
        lag_seconds_max=5,
        recovery_seconds_max=5,
        sabotage=name,
        **EACH_ONCE,
    )
    report = played(plan)
    assert not report.ok
    assert report.broken[sabotage.invariant]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_full_disk_heals_by_itself() -> None:
    """The runbook's last recipe, under 100,000 webhooks: it needs room, and nobody's hands."""
    faults = ["disk-full", "file-size-limit"] * 2
    report = played(Plan(seed=4, seconds=300, webhooks=100_000, faults=faults, **EACH_ONCE))
    assert report.ok
    assert report.not_done.keys() <= OPTIONAL
