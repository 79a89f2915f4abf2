"""The HTTP service without services: what is said to it, and what stands for its two ports."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from aiohttp import ClientSession

from ostatok.journal import Record
from ostatok.settings import Settings
from ostatok.topic import Range
from ostatok_db.history import History
from ostatok_db.pool import Pool, PoolUse
from ostatok_db.reading import Reader, Standing, Undecided
from ostatok_http.ports import Position, Queue, RecordHeaders
from support.payments import PARTITIONS, README_PAYMENT, TOPIC_ID

Serve = Callable[..., Awaitable[ClientSession]]

WEBHOOK = "/api/webhook/bank/"
INN = "1234567890"
PAYMENT = README_PAYMENT
JSON = {"Content-Type": "application/json"}
PROBLEM = {"Accept": "application/problem+json"}
GOOD = json.dumps(PAYMENT).encode()
KIND = b"Content-Type: application/json"


def of_database(settings: Settings) -> dict[str, Any]:
    """Give the real ports to a ledger, by the names that ``serve`` has for them."""
    pool = Pool(settings)
    return {"ledger": Reader(settings, pool), "history": History(settings, pool), "pool": pool}


def changed(**fields: Any) -> bytes:
    """Give the body of a good webhook with some fields other than they should be."""
    return json.dumps(PAYMENT | fields).encode()


def raw(field: str, text: str) -> bytes:
    """Give the body of a good webhook with the bytes ``text`` as the value of one field."""
    return json.dumps(PAYMENT | {field: "@"}).replace('"@"', text).encode()


def without(field: str) -> bytes:
    """Give the body of a good webhook that lacks a field."""
    return json.dumps({name: value for name, value in PAYMENT.items() if name != field}).encode()


class RecordingJournal:
    """Keeps what it is given; answers with a position, or with the error it was told to raise."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.records: list[tuple[bytes, bytes, dict[str, bytes]]] = []
        self.published = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answered = asyncio.Event()

    async def open(self) -> None:
        """Be there."""

    async def close(self, seconds: float) -> None:
        """Be gone."""

    async def publish(self, key: bytes, value: bytes, headers: RecordHeaders) -> Position:
        """Keep the record, and answer when the test lets it."""
        if self.error is not None:
            raise self.error
        self.records.append((key, value, dict(headers)))
        self.published.set()
        await self.may_answer.wait()
        self.answered.set()
        return Position(7, 41 + len(self.records))

    async def missing(self) -> Literal["broker", "topic"] | None:
        """Miss nothing."""
        return None

    def queue(self) -> Queue:
        """Hold nothing back."""
        return Queue(0, 10)


class TheTopic:
    """The topic that the ledger was built from."""

    async def describe_async(self) -> tuple[str, int] | None:
        """Be that one."""
        return TOPIC_ID, PARTITIONS

    async def ranges_async(self, partitions: Iterable[int]) -> dict[int, Range]:
        """Hold all that any ledger is built from."""
        return dict.fromkeys(partitions, Range(0, 1_000_000))


class NoRecords:
    """A topic with nothing in it."""

    def read(self, bounds: Mapping[int, tuple[int, int]]) -> Generator[list[Record]]:  # noqa: ARG002
        """Have none."""
        yield from ()

    def firsts(self, bounds: Mapping[int, tuple[int, int]]) -> dict[int, Record]:  # noqa: ARG002
        """Have none either."""
        return {}


class EmptyLedger:
    """A ledger that has applied all and knows nobody."""

    async def open(self) -> None:
        """Be there."""

    async def close(self) -> None:
        """Be gone."""

    async def partitions(self) -> int:
        """Have the usual number."""
        return PARTITIONS

    async def standings(self, asked: Sequence[tuple[str, int]]) -> list[Standing]:
        """Know nobody."""
        return [Standing(inn, None, 1_000_000) for inn, _ in asked]

    async def offsets(self) -> dict[int, tuple[int, str]]:
        """Be far ahead."""
        return dict.fromkeys(range(PARTITIONS), (1_000_000, TOPIC_ID))

    async def check(self) -> None:
        """Be well."""

    async def undecided_dead_letters(self) -> Undecided:
        """Have none."""
        return Undecided(0, 0.0)

    def pool_use(self) -> PoolUse:
        """Use one connection of four."""
        return PoolUse(2, 1, 4, 0, 0.0, 0)


async def connect(client: ClientSession) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection of our own, to say what no client library would."""
    url = urlsplit(str(client._base_url))
    return await asyncio.open_connection(url.hostname, url.port)


def head(*headers: bytes) -> bytes:
    """Give the head of a webhook's request."""
    lines = [b"POST /api/webhook/bank/ HTTP/1.1", b"Host: test", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
