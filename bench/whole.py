"""What the whole system sustains, counted as payments applied, against Django doing it at once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from bench.cli import main
from bench.django_app import AGAINST, NAME, django_app
from bench.lab import Lab
from bench.load import load
from bench.outcomes import check_money, outcomes_of
from bench.payments import Mix
from bench.question import Figure, Figures, Question, Sides, Size
from bench.system import whole_system
from bench.webhooks import CONNECTIONS, all_200, write_webhooks

SECONDS = 60
WEBHOOKS_PER_SECOND_MAX = 15_000
"""As many are made beforehand; a system that takes more runs for less than the whole time."""
THEIR_PER_SECOND_MAX = 1_000


@asynccontextmanager
async def against_django(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: http and stream, and the Django app; as many webhooks as each takes in the time.

    The figure is payments in the ledger, per second from the first webhook until the last of
    them is in it: what our receiver took in faster than the stream applies it gains nothing.
    """
    seconds = size.of(SECONDS, 2)
    rate_max = size.of(WEBHOOKS_PER_SECOND_MAX, 4_000)
    mix = Mix(seconds * rate_max, size.of(10_000, 200))
    their_mix = replace(mix, payments=seconds * THEIR_PER_SECOND_MAX)
    webhooks = await asyncio.to_thread(write_webhooks, lab.folder / "webhooks", mix)

    async def ours() -> Figures:
        async with whole_system(lab) as system:
            result = await load(system.port, webhooks, connections=CONNECTIONS, seconds=seconds)
            acknowledged = all_200(result)
            applied_at = await system.applied(acknowledged)
            await _check(system.database, mix, acknowledged)
        began_at = result.ended_at - result.seconds
        return {"applied": acknowledged / (applied_at - began_at)}

    async def theirs() -> Figures:
        async with django_app(lab, their_mix) as app:
            result = await load(app.port, webhooks, connections=CONNECTIONS, seconds=seconds)
            await _check(app.database, mix, all_200(result))
        return {"applied": result.per_second}

    yield Sides(ours, theirs)


async def _check(database: str, mix: Mix, acknowledged: int) -> None:
    """See that each webhook that got a 200, and nothing else, is in the ledger with its money."""
    taken = replace(mix, payments=acknowledged)  # They are handed out in order.
    expected = await asyncio.to_thread(outcomes_of, taken)
    await asyncio.to_thread(check_money, database, expected)


QUESTIONS = (
    Question(
        "whole",
        ours="one http process and one worker",
        against=AGAINST,
        figures={
            "applied": Figure(
                f"payments applied/s, sustained {SECONDS} s, {CONNECTIONS} connections",
                "/s",
                at_least=50,
            )
        },
        sides=against_django,
        needs=NAME,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
