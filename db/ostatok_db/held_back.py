"""Records that a second ledger has gone past and owes an outcome, in a table of its schema."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ostatok_db.batch import Position
from ostatok_db.connection import mapped_errors
from ostatok_db.queries import queries
from ostatok_db.session import Session

AT_ONCE = 5_000


class Held(NamedTuple):
    """One of them."""

    partition: int
    offset: int
    operation_id: str


class HeldBack(Session):
    """A connection to the second ledger.

    Its own, and not that of a swap: what is held back must be known also when the swap is rolled
    back, as the batches that went past it are.
    """

    name = "rebuild"
    writes = True

    def add(self, held: Sequence[Held]) -> None:
        """Hold these back, before anything goes past them."""
        if held:
            partitions, offsets, operations = (list(column) for column in zip(*held, strict=True))
            with mapped_errors():
                self._connection.execute(queries["make_held_back"])
                self._connection.execute(
                    queries["hold_back"],
                    {"partitions": partitions, "offsets": offsets, "operations": operations},
                )

    def due(self, *, everything: bool) -> Iterator[list[Position]]:
        """Give those whose operation is a payment by now, or all; many at a time, each once."""
        after = (-1, -1)
        while self._is_there() and (
            rows := self._rows(
                queries["read_held_back"],
                everything=everything,
                partition=after[0],
                offset=after[1],
                limit=AT_ONCE,
            )
        ):
            yield rows
            after = rows[-1]

    def settled(self) -> None:
        """Forget those that have their outcome, and all trace when none is left.

        Nor was it a replay that gave it: what changed no log is where every ledger would have it.
        """
        with mapped_errors(), self._connection.transaction():
            self._connection.execute(queries["forget_repeats_replayed"])
            if self._is_there():
                self._connection.execute(queries["forget_held_back"])
                ((left,),) = self._rows(queries["count_held_back"])
                if not left:
                    self._connection.execute(queries["drop_held_back"])

    def _is_there(self) -> bool:
        ((found,),) = self._rows(queries["find_held_back"])
        return found is not None
