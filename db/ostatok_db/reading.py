"""Reading the ledger, apart from writing it: what the balance endpoint asks."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from ostatok.errors import LedgerNotMigrated
from ostatok.settings import Settings
from ostatok_db.pool import Pool, PoolUse
from ostatok_db.queries import queries


class Undecided(NamedTuple):
    """The dead letters that nobody has decided about."""

    letters: int
    oldest_seconds: float
    """Since the oldest of them was received; 0 when there is none."""


class Standing(msgspec.Struct, frozen=True):
    """What the ledger says of an INN, and how far it has read the INN's partition."""

    inn: str
    balance: Decimal | None
    """Rubles; None when the INN never paid."""
    next_offset: int
    """Every record of the INN's partition below this has its outcome."""


class Reader:
    """Balances and offsets. Every method raises :class:`LedgerUnavailable`."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._topic = settings.topic
        self._pool = pool

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        await self._pool.open()

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Of each (INN, its partition) the standing, in the order asked, in one snapshot."""
        inns = [inn for inn, _ in asked]
        values = {
            "topic": self._topic,
            "inns": inns,
            "partitions": [partition for _, partition in asked],
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_standings"], values)
            rows = await cursor.fetchall()
        return [Standing(inn, row[1], row[0]) for inn, row in zip(inns, rows, strict=True)]

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Where the ledger stands: partition → (next offset, id of the topic).

        Empty before ``ostatok migrate``.
        """
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["read_offsets"], {"topic": self._topic})
            return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}

    async def partitions(self) -> int:
        """How many partitions the journal has."""
        partitions = len(await self.offsets())
        if not partitions:
            raise LedgerNotMigrated(f"The ledger knows no topic {self._topic}.")
        return partitions

    async def check(self) -> None:
        """Return when database and schema are there."""
        await self.partitions()

    async def undecided_dead_letters(self) -> Undecided:
        """How many dead letters nobody has decided about, and how long the oldest waits."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries["count_undecided"], {"topic": self._topic})
            row = await cursor.fetchone()
        return Undecided(0, 0.0) if row is None else Undecided(*row)

    def pool_use(self) -> PoolUse:
        """How much of the connections is in use. Asks nobody."""
        return self._pool.use()
