"""What doors cost: webhooks that are signed, and balances that are read by a token."""

import asyncio
import hmac
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr
from standardwebhooks import Webhook

from bench.balances import CONNECTIONS as READERS
from bench.balances import balances_of, path_of, until_applied
from bench.cli import main
from bench.lab import Lab
from bench.load import Job, load, write_jobs
from bench.messages import get, post
from bench.payments import Mix, bodies, fill
from bench.question import Figure, Figures, Question, Sides, Size
from bench.serving import bare_aiohttp, ostatok_http, ostatok_stream
from bench.webhooks import (
    CONNECTIONS,
    PATH,
    acknowledged_per_second,
    all_200,
    answered_per_second,
    write_webhooks,
)
from ostatok import api_token
from ostatok.settings import Settings
from ostatok_db.tokens import Token, TokenSession

SECRET = "YmVuY2g" * 6  # of the bench alone
BALANCE = "balance:read"

SidesOf = Callable[[Lab, Size], AbstractAsyncContextManager[Sides]]


class Signing(NamedTuple):
    """A way to sign webhooks."""

    name: str
    sources: str
    headers: Callable[[int, bytes], Mapping[str, str]]
    """Of the webhook of that number, with that body: what signs it now."""


def _standard(number: int, body: bytes) -> Mapping[str, str]:
    message, now = f"msg_{number}", datetime.now(UTC)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message, now, body.decode()),
    }


def _hmac(_: int, body: bytes) -> Mapping[str, str]:
    return {"X-Signature": hmac.digest(SECRET.encode(), body, "sha256").hex()}


STANDARD = Signing(
    "Standard Webhooks",
    f"[[bank.accept]]\nstandard_webhooks.secrets = ['whsec_{SECRET}']",
    _standard,
)
HMAC = Signing(
    "an HMAC header",
    f"[[bank.accept]]\nhmac = {{header = 'X-Signature', secrets = ['{SECRET}']}}",
    _hmac,
)


def write_signed(path: Path, mix: Mix, signing: Signing) -> Path:
    """Make the file of webhooks that is due now: a signature may hold for five minutes."""
    jobs = (
        Job([post(PATH, body, signing.headers(number, body))])
        for number, (_, body) in enumerate(bodies(mix))
    )
    return write_jobs(path, jobs)


@asynccontextmanager
async def signed_webhooks(
    lab: Lab, size: Size, *, signing: Signing, against: str
) -> AsyncIterator[Sides]:
    """Sides: our receiver that checks signatures, and ``against``.

    That is bare.py, which is sent the same requests, or itself, open, and sent unsigned ones.
    """
    mix = Mix(size.of(100_000, 3_000), size.of(10_000, 200))
    warmup = mix.payments // 20
    settings = await lab.new_settings()
    guarded = settings.model_copy(update={"sources": SecretStr(signing.sources)})
    unsigned = await asyncio.to_thread(write_webhooks, lab.folder / "webhooks", mix)

    async def signed() -> Path:
        path = await asyncio.to_thread(write_signed, lab.folder / "signed", mix, signing)
        await asyncio.to_thread(os.sync)  # Else the disk is still busy with it.
        return path

    async def ours() -> Figures:
        rate = await acknowledged_per_second(lab, guarded, await signed(), warmup=warmup)
        return {"acknowledged": rate}

    async def itself() -> Figures:
        rate = await acknowledged_per_second(lab, settings, unsigned, warmup=warmup)
        return {"acknowledged": rate}

    async def bare() -> Figures:
        rate = await answered_per_second(lab, await signed(), mix, warmup=warmup)
        return {"acknowledged": rate}

    await itself()  # As in webhooks.py: a broker that has just started is slow.
    yield Sides(ours, bare if against == "bare" else itself)


@asynccontextmanager
async def guarded_balances(lab: Lab, size: Size, *, against: str) -> AsyncIterator[Sides]:
    """Sides: our balances, read by a token, and ``against``: bare.py, or itself, open."""
    mix = Mix(size.of(50_000, 1_000), size.of(10_000, 200))
    settings = await lab.new_settings()
    guarded = settings.model_copy(update={"http_authentication": True})
    await asyncio.to_thread(fill, settings, mix)
    balances = await asyncio.to_thread(balances_of, bodies(mix))
    async with ostatok_stream(lab, settings):
        await until_applied(settings, mix.payments, sum(balances.values(), Decimal()))
    token = await asyncio.to_thread(_make_token, settings)
    reads = size.of(150_000, 3_000)
    asked = random.Random(2).choices(list(balances), k=reads)
    jobs = partial(_write_reads, lab.folder, asked)
    open_jobs, token_jobs = jobs({}), jobs({"Authorization": f"Bearer {token}"})

    async def of(service: AbstractAsyncContextManager[int], jobs: Path) -> Figures:
        async with service as port:
            result = await load(port, jobs, connections=READERS, warmup=reads // 20)
        assert all_200(result) == reads
        return {"reads": result.per_second}

    async def ours() -> Figures:
        return await of(ostatok_http(lab, guarded), token_jobs)

    async def theirs() -> Figures:
        service = bare_aiohttp(lab) if against == "bare" else ostatok_http(lab, settings)
        return await of(service, open_jobs)

    yield Sides(ours, theirs)


def _write_reads(folder: Path, inns: list[str], headers: Mapping[str, str]) -> Path:
    name = "guarded" if headers else "open"
    return write_jobs(folder / name, (Job([get(path_of(inn), headers)]) for inn in inns))


def _make_token(settings: Settings) -> str:
    new = api_token.make()
    now = datetime.now(UTC)
    token = Token(new.id, "bench", [BALANCE], None, now, "bench", None, None, None)
    with closing(TokenSession.connect(settings)) as session:
        session.create(token, api_token.hash_of(new.text), host="bench")
    return new.text


_READS = f"balance reads/s, {READERS} connections"


def _with_its_cost(bounded: Question, *, itself: SidesOf) -> tuple[Question, Question]:
    """Ask a question against a bare handler, and beside it what the doors cost."""
    figures = {name: replace(one, at_least=None) for name, one in bounded.figures.items()}
    cost = replace(
        bounded,
        name=f"{bounded.name}-cost",
        against="itself, open to all",
        figures=figures,
        sides=itself,
    )
    return bounded, cost


def _signed(name: str, signing: Signing) -> tuple[Question, Question]:
    what = f"webhooks acknowledged/s, {CONNECTIONS} connections"
    return _with_its_cost(
        Question(
            name,
            ours=f"one http process on Kafka that checks signatures ({signing.name})",
            against="an aiohttp handler that only reads and decodes them",
            figures={"acknowledged": Figure(what, "/s", at_least=0.8)},
            sides=partial(signed_webhooks, signing=signing, against="bare"),
        ),
        itself=partial(signed_webhooks, signing=signing, against="itself"),
    )


QUESTIONS = (
    *_signed("webhooks-hmac", HMAC),
    *_signed("webhooks-signed", STANDARD),
    *_with_its_cost(
        Question(
            "balances-token",
            ours="one http process on Postgres that asks for a token",
            against="an aiohttp handler that answers a constant",
            figures={"reads": Figure(_READS, "/s", at_least=0.7)},
            sides=partial(guarded_balances, against="bare"),
        ),
        itself=partial(guarded_balances, against="itself"),
    ),
)

if __name__ == "__main__":
    sys.exit(main({one.name: one for one in QUESTIONS}))
