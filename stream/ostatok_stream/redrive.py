"""Publishing a record in the place of a dead one, so that it can be a payment after all."""

from collections.abc import Iterable
from datetime import UTC, datetime

from ostatok.errors import InvalidPayment, OstatokError
from ostatok.journal import headers_of, key_of
from ostatok.payment import Payment, parse
from ostatok.record_writer import RecordWriter
from ostatok.settings import Settings
from ostatok.topic import Topic, check_held
from ostatok_db.auditing import AuditReader
from ostatok_db.dead_letters import Content, DeadLetters, Decision, Letter
from ostatok_db.ledger import check_topic

REDRIVES_HEADER = "ostatok-redrives"
"""Names the dead record that another is published for: ``<partition>:<offset>``."""

SOURCE = "redrive"
"""The source of a record whose dead one had none."""


def check_journal(settings: Settings) -> None:
    """See that what is published now will be applied: raise JournalMismatch as http refuses."""
    topic = Topic(settings)
    reader = AuditReader.connect(settings)
    try:
        stored = reader.stored()
    finally:
        reader.close()
    check_topic(stored, topic=settings.topic, described=topic.describe())
    held = topic.ranges(stored)
    check_held(settings.topic, held, {one: offset for one, (offset, _) in stored.items()})


class Redrive:
    """Redrives dead letters: the same bytes, or corrected ones."""

    def __init__(self, letters: DeadLetters, writer: RecordWriter, by: str) -> None:
        """Let ``by`` be who decides."""
        self._letters = letters
        self._writer = writer
        self._by = by

    def check(self, letter: Letter, corrected: bytes | None) -> Payment:
        """See that a letter can be redriven, and give the payment it would be.

        Raises :class:`OstatokError` when its body was emptied, and when it is no payment.
        """
        position = f"{letter.partition}:{letter.offset}"
        value = self._value(self._letters.content(letter), corrected)
        if value is None:
            raise OstatokError(f"The body of the dead letter {position} was emptied.")
        try:
            return parse(value)
        except InvalidPayment as error:
            raise OstatokError(
                f"The dead letter {position} can't be a payment: {error}.",
                hint="Give a corrected body with --value FILE.",
            ) from None

    def publish(self, letter: Letter, corrected: bytes | None, payment: Payment) -> tuple[int, int]:
        """Publish it, link the two, and give where the new record lies.

        Raises :class:`JournalUnavailable` when nobody knows whether it was written: redriving it
        again is safe, its operation id protects it.
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
            (REDRIVES_HEADER, f"{letter.partition}:{letter.offset}".encode()),
        ]
        new = self._writer.write(key_of(payment.inn), value, headers)
        self._letters.decide(letter, Decision.REDRIVEN, by=self._by, new=new)
        return new

    @staticmethod
    def _value(content: Content, corrected: bytes | None) -> bytes | None:
        return content.value if corrected is None else corrected


def _source(headers: Iterable[tuple[bytes, bytes | None]]) -> str:
    given = dict(headers).get(b"source") or b""
    text = given.decode(errors="replace")
    return text if text and text.isprintable() else SOURCE
