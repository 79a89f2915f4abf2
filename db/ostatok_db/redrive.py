"""Publishing a record in the place of a dead one, so that it can be a payment after all.

Of Kafka it knows only that a record can be written: commands and HTTP write in different ways.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from ostatok.errors import InvalidPayment, NotRedrivable
from ostatok.journal import headers_of, key_of
from ostatok.payment import Payment, parse
from ostatok.sources import REDRIVE
from ostatok_db.content import Content
from ostatok_db.dead_letters import DeadLetters, Decision, Letter

REDRIVES_HEADER = "ostatok-redrives"
"""Names the dead record that another is published for: ``<partition>:<offset>``."""


class Writer(Protocol):
    """Writes to the journal: :class:`ostatok.record_writer.RecordWriter` for one."""

    def write(
        self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> tuple[int, int]:
        """Write a record and give its place, once all in-sync replicas have it. Blocks.

        Raises :class:`ostatok.errors.JournalUnavailable`; then nobody knows whether it is there.
        """
        ...


class Redrive:
    """Redrives dead letters: the same bytes, or corrected ones."""

    def __init__(self, letters: DeadLetters, writer: Writer, by: str) -> None:
        """Let ``by`` be who decides."""
        self._letters = letters
        self._writer = writer
        self._by = by

    def check(self, letter: Letter, corrected: bytes | None) -> Payment:
        """See that a letter can be redriven, and give the payment it would be.

        Raises :class:`NotRedrivable` when it has no body, as once that was emptied, and when its
        body is no payment.
        """
        value = self._value(self._letters.content(letter), corrected)
        if value is None:
            raise NotRedrivable({"": "has no body, or it was emptied"})
        try:
            return parse(value)
        except InvalidPayment as error:
            raise NotRedrivable(error.reasons) from None

    def publish(
        self, letter: Letter, corrected: bytes | None, payment: Payment, *, again: bool = False
    ) -> tuple[int, int]:
        """Publish it, link the two, and give where the new record lies.

        Raises :class:`DeadLetterDecided` when somebody decided since it was read, and it is not to
        be redriven ``again``; and JournalUnavailable when nobody knows whether it was written:
        redriving it again is safe, its operation id protects it.
        """
        content = self._letters.content(letter)
        value = self._value(content, corrected)
        assert value is not None  # noqa: S101  # it was parsed
        headers = [
            *headers_of(
                source=_source(zip(content.header_names, content.header_values, strict=True)),
                received_at=datetime.now(UTC),
                request_id=f"redrive-{letter.partition}-{letter.offset}",
            ),
            (REDRIVES_HEADER, letter.position.encode()),
        ]
        # Two who correct the same one differently would be two operations: one of them is refused.
        with self._letters.deciding(letter, again=again):
            new = self._writer.write(key_of(payment.inn), value, headers)
            self._letters.decide(letter, Decision.REDRIVEN, by=self._by, new=new)
        return new

    @staticmethod
    def _value(content: Content, corrected: bytes | None) -> bytes | None:
        return content.value if corrected is None else corrected


def _source(headers: Iterable[tuple[bytes, bytes | None]]) -> str:
    given = dict(headers).get(b"source") or b""
    text = given.decode(errors="replace")
    return text if text and text.isprintable() else REDRIVE
