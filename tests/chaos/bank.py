"""Several clients that post webhooks of every kind, and repeat what got no answer."""

import asyncio
import json
import random
import time
import uuid
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

import aiohttp

from chaos.book import BROKEN, HANGUP, TIMEOUT, Attempt, Book
from ostatok.journal import partition_of
from ostatok.local.bodies import bad_body, organization_inn, person_inn

CLIENTS = 24
ANSWER_SECONDS_MAX = 10.0
"""Three times what the receiver may take, for a machine that is busy."""
HANGUP_SECONDS = 0.004
REPEAT_SECONDS = 0.3
CATCH_UP = 2
"""How many times the rate clients post at that are behind."""
RECENT = 400
WEBHOOK = "/api/webhook/bank/"
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Webhook:
    """What is posted. ``amount`` is None in a body that must be refused."""

    operation_id: str
    inn: str
    amount: Decimal
    body: bytes
    bad: bool = False


class Bank:
    """Clients that share a plan made from a seed."""

    def __init__(self, url: str, book: Book, seed: int, *, webhooks: int, seconds: float) -> None:
        self.book = book
        self._url = url
        self._pick = random.Random(seed)
        self._left = webhooks
        self._wanted = True
        self._rate = webhooks / seconds
        self._inns = [_inn(self._pick) for _ in range(2_000)]
        self._hot = organization_inn(self._pick)
        # Whose operations are claimed by another INN too. They have no others, so that all others
        # can be compared with a second reading.
        self._disputed = [_inn(self._pick) for _ in range(24)]
        self._recent: deque[Webhook] = deque(maxlen=RECENT)
        self._due_at = self._sent_at = 0.0

    async def __aenter__(self) -> Self:
        """Make the connections' pool."""
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(self._url, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close them."""
        await self._session.close()

    def finish(self) -> None:
        """Post what is left, and no more."""
        self._wanted = False

    async def run(self) -> None:
        """Post webhooks at their pace: all of them, and until :meth:`finish`.

        Returns when each has its answer or was given up.
        """
        self._due_at = self._sent_at = time.monotonic()
        reading = asyncio.create_task(self._read_balances())
        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(CLIENTS):
                    clients.create_task(self._client())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _client(self) -> None:
        while self._left > 0 or self._wanted:
            self._left -= 1
            await self._pace()
            await self._post_one()

    async def _pace(self) -> None:
        """Wait for the next one's turn; what an outage held up is caught up with, not all at once.

        Else recovery would be measured under a flood that the harness, on the same processors,
        made itself.
        """
        self._due_at += 1 / self._rate
        self._sent_at = max(self._due_at, self._sent_at + 1 / (CATCH_UP * self._rate))
        if (early := self._sent_at - time.monotonic()) > 0:
            await asyncio.sleep(early)

    async def _post_one(self) -> None:
        pick, roll = self._pick, self._pick.random()
        old = pick.choice(self._recent) if self._recent else self.fresh(self._hot)
        if roll < 0.30:
            await self.deliver(self._remembered(self.fresh(self._hot)))
        elif roll < 0.65:
            await self.deliver(self._remembered(self.fresh(pick.choice(self._inns))))
        elif roll < 0.78:
            await self.deliver(old)
        elif roll < 0.83:
            await self.deliver(self.fresh(old.inn, operation_id=old.operation_id))
        elif roll < 0.89:
            await self._claim_twice()
        elif roll < 0.94:
            await self._send_rubbish()
        else:
            await self._hang_up(self._remembered(self.fresh(pick.choice(self._inns))))

    def fresh(self, inn: str, *, operation_id: str | None = None) -> Webhook:
        """A payment of an INN, with an operation of its own unless given one."""
        one = operation_id or str(uuid.UUID(int=self._pick.getrandbits(128), version=4))
        amount = Decimal(self._pick.randrange(1, 10**8)).scaleb(-2)
        document = _document(one, inn, amount)
        return Webhook(one, inn, amount, json.dumps(document).encode())

    def probes(self, partitions: int) -> list[Webhook]:
        """A fresh payment for each partition, each of an INN that never paid before."""
        found: dict[int, str] = {}
        while len(found) < partitions:
            inn = _inn(self._pick)
            found.setdefault(partition_of(inn, partitions), inn)
        return [self.fresh(inn) for inn in found.values()]

    async def deliver(self, webhook: Webhook) -> bool:
        """Post until it is answered for good, as a bank would; now and then give up instead.

        True when it was acknowledged.
        """
        while True:
            status = await self.post(webhook)
            if status not in {None, 503}:
                return status == 200
            if self._pick.random() < 0.05:
                return False
            await asyncio.sleep(REPEAT_SECONDS)

    async def post(
        self, webhook: Webhook, seconds: float = ANSWER_SECONDS_MAX, accept: str = "*/*"
    ) -> int | None:
        """Post once, write down what came back, and give the status."""
        status = position = None
        why, fault = "", self.book.fault
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.post(
                WEBHOOK, data=webhook.body, headers={**JSON, "Accept": accept}, timeout=timeout
            ) as answer:
                status = answer.status
                position = answer.headers.get("Ostatok-Position")
                if answer.content_type == PROBLEM:
                    problem = json.loads(await answer.read())
                    self.book.problems[problem["type"].rpartition(":")[2]] += 1
        except TimeoutError:
            why = HANGUP if seconds == HANGUP_SECONDS else TIMEOUT
        except (aiohttp.ClientError, OSError):
            why = BROKEN
        if why == TIMEOUT and fault == self.book.fault:
            self.book.unanswered[fault] += 1
        paid, bad = (webhook.inn, webhook.amount), webhook.bad
        attempt = Attempt(self.book.seconds(), *paid, bad, status, position, why)
        self.book.note(webhook.operation_id, attempt)
        return status

    async def flood(self, many: int) -> None:
        """Post so many at the same time, once each, and ask for problems by their names."""
        posted = (self.post(self.fresh(self._hot), accept=PROBLEM) for _ in range(many))
        await asyncio.gather(*posted)

    async def balance(self, inn: str) -> Decimal | None:
        """Read a balance; None when there was none to read."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        try:
            path = f"/api/organizations/{inn}/balance/"
            async with self._session.get(path, timeout=timeout) as answer:
                self.book.answers[f"GET {answer.status}"] += 1
                if answer.status != 200:
                    return None
                text = await answer.text()
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None
        found = json.loads(text, parse_float=Decimal)["balance"]
        return Decimal(found)

    def _remembered(self, webhook: Webhook) -> Webhook:
        self._recent.append(webhook)
        return webhook

    async def _claim_twice(self) -> None:
        """Post one operation under two INNs, at the same moment."""
        one, other = self._pick.sample(self._disputed, 2)
        first = self.fresh(one)
        second = self.fresh(other, operation_id=first.operation_id)
        await asyncio.gather(self.deliver(first), self.deliver(second))

    async def _send_rubbish(self) -> None:
        good = self.fresh(self._hot)
        body = bad_body(self._pick, json.loads(good.body))
        await self.deliver(Webhook(good.operation_id, good.inn, good.amount, body, bad=True))

    async def _hang_up(self, webhook: Webhook) -> None:
        if await self.post(webhook, HANGUP_SECONDS) is None:
            await self.deliver(webhook)

    async def _read_balances(self) -> None:
        """Read one balance after the other: only ever more, for nobody takes money back."""
        last: dict[str, Decimal] = {}
        pick = random.Random(0)
        while True:
            inn = pick.choice([self._hot, *self._inns[:20]])
            found = await self.balance(inn)
            if found is not None:
                if found < last.get(inn, Decimal(0)):
                    self.book.balances_gone_back.append(f"{inn}: {last[inn]}, then {found}")
                last[inn] = found
            await asyncio.sleep(0.05)


def _document(operation_id: str, inn: str, amount: Decimal) -> dict[str, str]:
    return {
        "operation_id": operation_id,
        "amount": str(amount),
        "payer_inn": inn,
        "document_number": f"PAY-{operation_id[:8]}",
        "document_date": "2026-04-27T21:00:00Z",
    }


def _inn(pick: random.Random) -> str:
    return organization_inn(pick) if pick.random() < 0.7 else person_inn(pick)
