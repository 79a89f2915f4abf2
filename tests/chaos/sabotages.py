"""Promises broken on purpose: with any of these a run must end red, or the harness proves nothing.

Each changes the code in the process that it sabotages, and nothing on the disk.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import psycopg

from chaos.points import BETWEEN
from ostatok.errors import JournalUnavailable
from ostatok_db import ledger
from ostatok_db.ledger import Ledger
from ostatok_db.queries import queries
from ostatok_http.ports import Position
from ostatok_http.publisher import Publisher

Reach = Callable[[str], None]


def _replace(name: str, old: str, new: str) -> None:
    assert old in queries[name], f"{name} does not say {old!r} any more"
    queries[name] = cast("Any", queries[name].replace(old, new))


def _without_fence() -> None:
    async def no_lock(_self: Any, _cursor: Any, _batch: Any) -> Any:
        return {}

    def all_of_it(batch: Any, _stands: Any) -> Any:
        return list(batch.slices), {}

    assert hasattr(Ledger, "_lock")
    assert hasattr(ledger, "_past_the_fence")
    Ledger._lock = no_lock  # type: ignore[method-assign,assignment]
    ledger._past_the_fence = all_of_it  # type: ignore[assignment]


def offset_first(reach: Reach) -> None:
    """The offset is committed before the batch, as an automatic commit of Kafka's would."""
    apply = Ledger.apply
    _without_fence()

    async def apply_late(self: Any, batch: Any, replay: Any = None) -> Any:
        with suppress(psycopg.OperationalError):
            async with self._connection.transaction():
                reached = {
                    "topic": batch.topic,
                    "partitions": [one.partition for one in batch.slices],
                    "next_offsets": [one.next_offset for one in batch.slices],
                }
                await self._connection.execute(queries["advance_offsets"], reached)
            reach(BETWEEN)
        return await apply(self, batch, replay)

    Ledger.apply = apply_late  # type: ignore[method-assign]


def no_deduplication(_reach: Reach) -> None:
    """An operation seen before is inserted again."""
    known = (
        "WHERE NOT EXISTS (SELECT FROM payment AS p WHERE p.operation_id = candidate.operation_id)"
    )
    _replace("apply_incoming", known, "")


def no_fence(_reach: Reach) -> None:
    """Nobody locks the offsets, nobody looks where they stand, and they are set without a look."""
    _without_fence()
    _replace("advance_offsets", "AND applied_offset.next_offset < reached.next_offset", "")


_COLUMNS = 'operation_id, inn, amount, document_number, document_date, topic, partition, "offset"'


def one_statement(_reach: Reach) -> None:
    """Duplicates are classified in the statement that inserts.

    It does not see a winner that another session commits while it waits for its row, and passes it.
    """
    _replace(
        "apply_incoming",
        "ORDER BY operation_id\n    RETURNING *",
        "ORDER BY operation_id ON CONFLICT (operation_id) DO NOTHING\n    RETURNING *",
    )
    both = f"(SELECT {_COLUMNS} FROM payment UNION ALL SELECT {_COLUMNS} FROM inserted)"
    repeats = queries["record_repeats"].rstrip("; \n")
    repeats = "\n".join(line for line in repeats.splitlines() if not line.startswith("--"))
    assert "JOIN payment p USING" in repeats
    repeats = repeats.replace("JOIN payment p USING", f"JOIN {both} p USING")
    end = ")\nSELECT partition, count(*) AS applied"
    _replace("apply_incoming", end, f"), classified AS (\n{repeats}\n{end}")
    queries["record_repeats"] = cast(
        "Any",
        'SELECT d.partition, d."offset", d.outcome, d.operation_id::text, d.inn, d.request_id, '
        'd.differences FROM duplicate d JOIN incoming i USING (partition, "offset") '
        "WHERE d.topic = %(topic)s",
    )


def early_200() -> None:
    """The receiver answers 200 before the broker has acknowledged anything."""

    async def publish(self: Any, key: bytes, value: bytes, headers: Any) -> Position:
        try:
            self._producer.produce(self._topic, value, key, headers=headers)
        except BufferError:
            raise JournalUnavailable from None
        return Position(0, 0)

    Publisher.publish = publish  # type: ignore[method-assign,assignment]


OF_THE_WORKER: dict[str, Callable[[Reach], None]] = {
    "offset-first": offset_first,
    "no-deduplication": no_deduplication,
    "no-fence": no_fence,
    "one-statement": one_statement,
}
OF_THE_RECEIVER: dict[str, Callable[[], None]] = {"early-200": early_200}
NAMES = (*OF_THE_WORKER, *OF_THE_RECEIVER)
