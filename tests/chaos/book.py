"""What the clients know: every attempt of every operation, and every answer ever given."""

import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

HANGUP, TIMEOUT, BROKEN = "hung up", "time-out", "connection broken"
"""What a client sees that gets no status."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST of an operation: what was said, and what came back."""

    at: float
    inn: str
    amount: Decimal
    status: int | None
    position: str | None
    why: str = ""

    def __str__(self) -> str:
        answer = self.why if self.status is None else str(self.status)
        receipt = f" {self.position}" if self.position else ""
        return f"{self.at:9.3f} s  {self.inn} {self.amount}: {answer}{receipt}"


@dataclass(slots=True)
class Book:
    """The journal of all clients together."""

    started_at: float = field(default_factory=time.monotonic)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    webhooks: int = 0
    balances_gone_back: list[str] = field(default_factory=list)

    def note(
        self,
        operation_id: str,
        inn: str,
        amount: Decimal,
        status: int | None,
        position: str | None = None,
        why: str = "",
    ) -> None:
        """Write down what came back of one POST."""
        at = time.monotonic() - self.started_at
        attempt = Attempt(at, inn, amount, status, position, why)
        self.attempts.setdefault(operation_id, []).append(attempt)
        self.answers[why if status is None else f"POST {status}"] += 1
        if status is not None:
            self.statuses[status] += 1

    def acknowledged(self) -> set[str]:
        """Operations that got a 200 at least once."""
        return {one for one, tried in self.attempts.items() if any(a.status == 200 for a in tried)}

    def may_be_there(self) -> dict[str, set[tuple[str, Decimal]]]:
        """Operation → what was sent of it and not refused: (INN, amount)."""
        return {
            one: {(a.inn, a.amount) for a in tried if not _is_refused(a.status)}
            for one, tried in self.attempts.items()
        }


def _is_refused(status: int | None) -> bool:
    return status is not None and 400 <= status < 500
