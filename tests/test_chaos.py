"""The harness of `make chaos`, short: every kind of fault once, and red for a sabotage."""

import asyncio
from typing import Any

import pytest
from chaos.faults import FAULTS
from chaos.report import Report
from chaos.run import Plan, run, show

SHORT: dict[str, Any] = {"session_seconds": 3, "once": True, "workers": 2}


def played(plan: Plan) -> Report:
    """A run of the plan, its tables printed."""
    report, book = asyncio.run(run(plan))
    show(report, book)
    return report


@pytest.mark.long
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_counted_twice_under_any_fault() -> None:
    """Every kind of fault once under load: every invariant holds, and all heals by itself."""
    report = played(Plan(seed=4, seconds=150, webhooks=6_000, fault_seconds_max=3, **SHORT))
    assert report.ok
    assert report.recoveries.keys() == FAULTS.keys()


SABOTAGES = {
    "offset-first": (["kill-between"], "acknowledged operations are in the ledger exactly once"),
}


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_promise_is_found(sabotage: str) -> None:
    """With the promise broken on purpose the run ends red, at the invariant that it is about."""
    faults, invariant = SABOTAGES[sabotage]
    plan = Plan(
        seed=4,
        seconds=12,
        webhooks=1_200,
        faults=faults,
        lag_seconds_max=10,
        recovery_seconds_max=20,
        sabotage=sabotage,
        **SHORT,
    )
    report = played(plan)
    assert not report.ok
    assert report.broken[invariant]
