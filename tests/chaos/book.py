"""What the clients know: every attempt of every operation, and every answer ever given."""

import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

HANGUP, TIMEOUT, BROKEN = "hung up", "time-out", "connection broken"
"""What a client sees that gets no status."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST of an operation: what was said, and what came back. ``bad`` must be refused."""

    at: float
    inn: str
    amount: Decimal
    bad: bool
    status: int | None
    position: str | None
    why: str = ""

    def __str__(self) -> str:
        answer = self.why if self.status is None else str(self.status)
        receipt = f" {self.position}" if self.position else ""
        bad = " (bad)" if self.bad else ""
        return f"{self.at:9.3f} s  {self.inn} {self.amount}{bad}: {answer}{receipt}"


@dataclass(slots=True)
class Book:
    """The journal of all clients together."""

    started_at: float = field(default_factory=time.monotonic)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    """How often each answer was given: ``POST 200``, or why there was none."""
    problems: Counter[str] = field(default_factory=Counter)
    """Refusals by their names, of those who asked for one (RFC 9457)."""
    balances_gone_back: list[str] = field(default_factory=list)
    fault: str = ""
    """What goes wrong now, or did last."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Time-outs by the fault that they began and ended under."""

    @property
    def webhooks(self) -> int:
        """How many were posted."""
        return sum(map(len, self.attempts.values()))

    def note(self, operation_id: str, attempt: Attempt) -> None:
        """Write down what came back of one POST."""
        self.attempts.setdefault(operation_id, []).append(attempt)
        self.answers[attempt.why if attempt.status is None else f"POST {attempt.status}"] += 1

    def seconds(self) -> float:
        """How long the run has lasted."""
        return time.monotonic() - self.started_at

    def acknowledged(self) -> set[str]:
        """Operations that got a 200 at least once."""
        return {one for one, tried in self.attempts.items() if any(a.status == 200 for a in tried)}

    def may_be_there(self) -> dict[str, set[tuple[str, Decimal]]]:
        """Operation → what was sent of it and not refused: (INN, amount)."""
        return {
            one: {(a.inn, a.amount) for a in tried if not is_refused(a.status)}
            for one, tried in self.attempts.items()
        }


def is_refused(status: int | None) -> bool:
    """Whether it is a 4xx."""
    return status is not None and 400 <= status < 500
