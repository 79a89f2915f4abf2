"""A bank: posts realistic webhooks, repeats what got no 200, and proves the balances at the end."""

import asyncio
import random
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import aiohttp
import msgspec
from standardwebhooks import Webhook

from ostatok.backoff import backoff
from ostatok.errors import LocalError, OstatokError
from ostatok.local.bodies import bad_body, is_text, organization_inn, person_inn

WEBHOOK_PATH = "/api/webhook/{source}/"
BALANCE_PATH = "/api/organizations/{inn}/balance/"
RETRY_SECONDS_MIN = 0.05
RETRY_SECONDS_MAX = 2.0
REQUEST_SECONDS_MAX = 30.0
FIRST_SECONDS_MAX = 10.0
"""How long the service may take to answer anything at all."""
REMEMBERED_MAX = 10_000
"""Payments that a duplicate or a conflict may be made of: the latest."""
PEOPLE_SHARE = 0.2
"""Payers that are persons, with an INN of 12 digits."""
DIFFERENCES_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send. Shares are of all webhooks; what is left are new payments."""

    url: str
    source: str = "bank"
    secret: str | None = None
    """Of Standard Webhooks, to sign with; None for not signing."""
    token: str | None = None
    """To read balances by."""
    webhooks: int
    rate: float
    """Webhooks a second; 0 = as fast as they are answered."""
    connections: int
    organizations: int
    duplicates: float
    conflicts: float
    bad: float
    seed: int
    patience_seconds: float
    """How long to repeat one webhook, and to wait for the last balance."""


@dataclass(slots=True)
class Report:
    """What happened."""

    answers: Counter[str] = field(default_factory=Counter)
    """Webhooks by what they were and how they were answered."""
    repeats: int = 0
    """Times a webhook was sent again because it got no answer, or 503."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """Answers that break the contract, and balances that differ."""
    balances: int = 0
    total: Decimal = Decimal(0)
    """Rubles that must have arrived, and when nothing is wrong did."""


@dataclass(frozen=True, slots=True)
class _Sent:
    inn: str
    amount: Decimal
    document: dict[str, object]


class Simulation:
    """One run against a service."""

    def __init__(self, plan: Plan, progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._progress = progress
        self._random = random.Random(plan.seed)  # noqa: S311  # a simulation, to be repeated
        self._inns = [self._new_inn() for _ in range(plan.organizations)]
        self._expected: dict[str, Decimal] = {}
        self._sent: deque[_Sent] = deque(maxlen=REMEMBERED_MAX)
        self._accepted: deque[_Sent] = deque(maxlen=REMEMBERED_MAX)
        self._left = plan.webhooks
        self._path = WEBHOOK_PATH.format(source=plan.source)
        self._reading = {} if plan.token is None else {"Authorization": f"Bearer {plan.token}"}
        self._webhook = None if plan.secret is None else Webhook(plan.secret)
        self._started = 0.0
        self.report = Report()

    async def run(self) -> Report:
        """Send everything, then compare every balance. Raises LocalError when nobody answers."""
        connector = aiohttp.TCPConnector(limit=self._plan.connections)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX)
        async with aiohttp.ClientSession(
            self._plan.url, connector=connector, timeout=timeout
        ) as session:
            await self._note_first_balances(session)
            self._started = time.perf_counter()
            shown = asyncio.create_task(self._show())
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._plan.connections):
                        group.create_task(self._send_many(session))
            except ExceptionGroup as errors:
                known = errors.subgroup(OstatokError)
                if known is None:
                    raise
                raise _first(known) from None
            finally:
                shown.cancel()
            self.report.seconds = time.perf_counter() - self._started
            self._progress(self._line())
            await self._compare(session)
        return self.report

    def _new_inn(self) -> str:
        if self._random.random() < PEOPLE_SHARE:
            return person_inn(self._random)
        return organization_inn(self._random)

    async def _note_first_balances(self, session: aiohttp.ClientSession) -> None:
        """What was there before is not ours: only the difference must be what we sent."""
        async for inn, balance in self._balances(session, FIRST_SECONDS_MAX):
            self._expected[inn] = balance

    async def _send_many(self, session: aiohttp.ClientSession) -> None:
        while self._left > 0:
            number = self._plan.webhooks - self._left
            self._left -= 1
            kind, body, payment = self._next()
            if self._plan.rate:
                due = self._started + number / self._plan.rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status = await self._post(session, body)
            self.report.answers[f"{kind} {status}"] += 1
            if status != self._wanted(kind, body):
                self.report.wrong.append(f"A {kind} webhook was answered {status}.")
            elif payment is not None and kind == "new":
                self._expected[payment.inn] += payment.amount
                self.report.total += payment.amount
                self._accepted.append(payment)

    def _wanted(self, kind: str, body: bytes) -> int:
        """Say how it must be answered. What is no UTF-8 can't be signed by Standard Webhooks."""
        if kind != "bad":
            return 200
        return 400 if self._webhook is None or is_text(body) else 401

    def _next(self) -> tuple[str, bytes, _Sent | None]:
        plan, roll = self._plan, self._random.random()
        if roll < plan.bad:
            return "bad", bad_body(self._random, self._new_payment().document), None
        roll -= plan.bad
        if roll < plan.duplicates and self._sent:
            # Of what may still be on its way, too: that is how a bank repeats.
            payment = self._random.choice(self._sent)
            return "duplicate", msgspec.json.encode(payment.document), payment
        roll -= plan.duplicates
        if roll < plan.conflicts and self._accepted:
            # Of what was accepted only: of two on their way either may win.
            payment = self._random.choice(self._accepted)
            other = {**payment.document, "amount": float(self._random.randint(1, 10**6))}
            return "conflict", msgspec.json.encode(other), payment
        payment = self._new_payment()
        self._sent.append(payment)
        return "new", msgspec.json.encode(payment.document), payment

    def _new_payment(self) -> _Sent:
        pick = self._random
        kopecks = min(int(pick.lognormvariate(15, 1.8)) + 1, 10**13)
        amount = Decimal(kopecks).scaleb(-2)
        date = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=pick.randrange(10**8))
        document: dict[str, object] = {
            "operation_id": str(uuid.UUID(int=pick.getrandbits(128), version=4)),
            # A bank writes a number, or a string: both are exact.
            "amount": str(amount) if pick.random() < 0.5 else msgspec.Raw(str(amount).encode()),
            "payer_inn": pick.choice(self._inns),
            "document_number": f"{pick.choice(('PAY-', 'ПП №', ''))}{pick.randrange(1, 10**6)}",
            "document_date": date.isoformat().replace("+00:00", "Z"),
        }
        return _Sent(str(document["payer_inn"]), amount, document)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> int:
        """Send until it is answered with something other than 503."""
        give_up_at = time.monotonic() + self._plan.patience_seconds
        for pause in backoff(RETRY_SECONDS_MIN, RETRY_SECONDS_MAX):
            reason = "503"
            try:
                headers = self._headers(body)
                async with session.post(self._path, data=body, headers=headers) as answer:
                    await answer.read()
                    if answer.status != 503:
                        return answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            if time.monotonic() > give_up_at:
                raise LocalError(
                    f"No 200 from {self._plan.url} within {self._plan.patience_seconds:g} s: "
                    f"{reason}.",
                    hint="See /readyz there, or give it longer with --patience.",
                )
            self.report.repeats += 1
            await asyncio.sleep(pause)
        raise AssertionError("backoff is endless")

    def _headers(self, body: bytes) -> dict[str, str]:
        """Sign anew each time: a signature holds for five minutes."""
        headers = {"Content-Type": "application/json"}
        if self._webhook is not None:
            message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
            headers["webhook-id"] = message_id
            headers["webhook-timestamp"] = str(int(now.timestamp()))
            # What is no UTF-8 can't be signed, and must be refused all the same.
            text = body.decode(errors="replace")
            headers["webhook-signature"] = self._webhook.sign(message_id, now, text)
        return headers

    async def _balance(
        self, session: aiohttp.ClientSession, inn: str, patience_seconds: float
    ) -> Decimal:
        """Read a balance that holds everything acknowledged; 0 for one never paid."""
        give_up_at = time.monotonic() + patience_seconds
        path, reason = BALANCE_PATH.format(inn=inn), ""
        while time.monotonic() < give_up_at:
            try:
                async with session.get(path, headers=self._reading) as answer:
                    body = await answer.read()
                    stale = "Ostatok-Stale" in answer.headers
                    if answer.status == 404 and not stale:
                        return Decimal(0)
                    if answer.status == 200 and not stale:
                        return msgspec.json.decode(body, type=_Balance).balance
                    reason = "still stale" if stale else f"answered {answer.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            await asyncio.sleep(RETRY_SECONDS_MIN)
        raise LocalError(
            f"No balance from {self._plan.url} within {patience_seconds:g} s: {reason}.",
            hint="Is `ostatok up` running there? --url says where.",
        )

    async def _balances(
        self, session: aiohttp.ClientSession, patience_seconds: float
    ) -> AsyncIterator[tuple[str, Decimal]]:
        for start in range(0, len(self._inns), self._plan.connections):
            some = self._inns[start : start + self._plan.connections]
            asked = (self._balance(session, inn, patience_seconds) for inn in some)
            for inn, balance in zip(some, await asyncio.gather(*asked), strict=True):
                yield inn, balance

    async def _compare(self, session: aiohttp.ClientSession) -> None:
        async for inn, balance in self._balances(session, self._plan.patience_seconds):
            self.report.balances += 1
            if balance != self._expected[inn]:
                wanted = self._expected[inn]
                self.report.wrong.append(f"The balance of {inn} is {balance}, not {wanted}.")
            self._progress(f"Comparing balances: {self.report.balances} of {len(self._inns)}")

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._progress(self._line())

    def _line(self) -> str:
        seconds = max(time.perf_counter() - self._started, 0.001)
        done = self.report.answers.total()
        return (
            f"Answered {done} of {self._plan.webhooks} webhooks, {done / seconds:.0f} a second, "
            f"{self.report.repeats} sent again"
        )


class _Balance(msgspec.Struct):
    balance: Decimal


def _first(group: "ExceptionGroup[OstatokError]") -> OstatokError:
    one: BaseException = group
    while isinstance(one, ExceptionGroup):
        one = one.exceptions[0]
    if not isinstance(one, OstatokError):
        raise TypeError(group)
    return one
