"""What the bodies of answers about dead letters are made of; see ``shapes.py``."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from ostatok.journal import rfc3339
from ostatok_db.content import Content, ShownRecord
from ostatok_db.dead_letters import Decided, Decision, Letter
from ostatok_http import schemas
from ostatok_http.shapes import OperationId, Position, ReceivedAt

DecidedAt = Annotated[
    str,
    Meta(
        description="Postgres's clock, when the decision was kept.",
        extra_json_schema=schemas.TIMESTAMP,
    ),
]
By = Annotated[str, Meta(description="Who decided, in his own words; nobody checked it.")]
NewPosition = Annotated[
    str,
    Meta(
        description="Where the record that was published lies.", extra_json_schema=schemas.POSITION
    ),
]


class Redriven(Struct, frozen=True, tag_field="decision", tag=str(Decision.REDRIVEN)):
    """Somebody had a record published that can be a payment."""

    by: By
    at: DecidedAt
    new_position: NewPosition


class Discarded(Struct, frozen=True, tag_field="decision", tag=str(Decision.DISCARDED)):
    """Somebody decided that nothing is to be made of it."""

    by: By
    at: DecidedAt
    because: str


def decision_of(made: Decided) -> Redriven | Discarded:
    """Show a decision as clients see it."""
    at = rfc3339(made.decided_at)
    if made.decision is Decision.REDRIVEN:
        return Redriven(made.decided_by, at, f"{made.new_partition}:{made.new_offset}")
    return Discarded(made.decided_by, at, made.reason or "")


class DeadLetter(Struct, frozen=True):
    """A dead letter less its record."""

    position: Position
    received_at: ReceivedAt
    operation_id: OperationId | None
    """None when the body names none."""
    reason: Annotated[str, Meta(description="Why it can be no payment.")]
    decision: Redriven | Discarded | None
    """The last one."""

    @classmethod
    def of(cls, letter: Letter) -> "DeadLetter":
        """Show a dead letter as clients see it."""
        return cls(
            letter.position,
            rfc3339(letter.received_at),
            letter.operation_id,
            letter.reason,
            None if letter.last is None else decision_of(letter.last),
        )


class DeadLetterPage(Struct, frozen=True):
    """A page of dead letters, the earliest first."""

    dead_letters: list[DeadLetter]
    next: Annotated[Position, Meta(description="The next page's cursor.")] | None


class WholeDeadLetter(DeadLetter, frozen=True):
    """A dead letter with its record as it came, and all decisions, the earliest first."""

    record: ShownRecord
    decisions: list[Redriven | Discarded]

    @classmethod
    def whole(
        cls, letter: Letter, content: Content, decisions: Iterable[Decided]
    ) -> "WholeDeadLetter":
        """Show all of it."""
        shown = DeadLetter.of(letter)
        return cls(
            shown.position,
            shown.received_at,
            shown.operation_id,
            shown.reason,
            shown.decision,
            content.shown(),
            [decision_of(made) for made in decisions],
        )


class RedriveDone(Struct, frozen=True):
    """What was published, or would be: then there is no decision, and no new position."""

    position: Position
    operation_id: OperationId
    decision: Annotated[str, Meta(extra_json_schema={"const": Decision.REDRIVEN})] | None
    new_position: NewPosition | UnsetType = UNSET


class DiscardDone(Struct, frozen=True):
    """What was discarded, or would be: then there is no decision."""

    position: Position
    decision: Annotated[str, Meta(extra_json_schema={"const": Decision.DISCARDED})] | None
