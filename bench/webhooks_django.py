"""How fast webhooks are acknowledged, against the same job done in the request by Django."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.cli import main
from bench.django_app import AGAINST, NAME, django_app
from bench.lab import Lab
from bench.load import load
from bench.outcomes import check_money, outcomes_of
from bench.payments import Mix
from bench.question import Figure, Figures, Question, Sides, Size
from bench.webhooks import CONNECTIONS, acknowledged_per_second, all_200, write_webhooks


@asynccontextmanager
async def against_django(lab: Lab, size: Size) -> AsyncIterator[Sides]:
    """Sides: our receiver on Kafka with the stream off, and the Django app.

    Of our payments there are more, so that both sides run for about as long.
    """
    organizations = size.of(10_000, 200)
    mix = Mix(size.of(100_000, 3_000), organizations)
    their_mix = Mix(size.of(5_000, 400), organizations)
    webhooks = await asyncio.to_thread(write_webhooks, lab.folder / "webhooks", mix)
    their_webhooks = await asyncio.to_thread(write_webhooks, lab.folder / "theirs", their_mix)
    expected = outcomes_of(their_mix)

    async def ours() -> Figures:
        settings = await lab.new_settings()
        warmup = mix.payments // 20
        rate = await acknowledged_per_second(lab, settings, webhooks, warmup=warmup)
        return {"acknowledged": rate}

    async def theirs() -> Figures:
        warmup = their_mix.payments // 10
        async with django_app(lab, their_mix) as app:
            result = await load(app.port, their_webhooks, connections=CONNECTIONS, warmup=warmup)
            assert all_200(result) == their_mix.payments
            await asyncio.to_thread(check_money, app.database, expected)
        return {"acknowledged": result.per_second}

    yield Sides(ours, theirs)


QUESTIONS = (
    Question(
        "webhooks-django",
        ours="one http process on Kafka, the stream off",
        against=AGAINST,
        figures={
            "acknowledged": Figure(
                f"webhooks acknowledged/s, {CONNECTIONS} connections", "/s", at_least=60
            )
        },
        sides=against_django,
        needs=NAME,
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
