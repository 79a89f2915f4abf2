"""A statement is written as it is read: however long, it needs no memory."""

import asyncio
import http.client
import json
from pathlib import Path

import pytest
from support.foreign import produce
from support.journal import make_topic
from support.payments import entry, payment
from support.services import Services
from support.system import System

from ostatok.settings import Settings
from ostatok.topic import Topic
from ostatok_db.batch import Batch, Slice
from ostatok_db.connection import conninfo
from ostatok_db.ledger import Ledger

INN = "1234567890"
AT_ONCE = 10_000
BLOCK_BYTES = 65_536
GROWTH_BYTES_MAX = 8 * 1024 * 1024
"""Of the process's memory, over a statement whose bytes are many times as many."""


async def fill(settings: Settings, many: int) -> None:
    """Apply so many payments of one INN; what lies in the topic for them matters to nobody here."""
    topic_id, _ = Topic(settings).ensure()
    ledger = await Ledger.connect(conninfo(settings, name="test", writes=True))
    for first in range(0, many, AT_ONCE):
        after = min(many, first + AT_ONCE)
        produce(settings, [{"value": b"{}", "partition": 0}] * (after - first))
        some = [entry(payment(inn=INN), offset, partition=0) for offset in range(first, after)]
        await ledger.apply(Batch(settings.topic, topic_id, [Slice(0, first, after, some)]))
    await ledger.close()


def memory_of(pid: int) -> int:
    """The resident set size of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("many", [60_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_long_statement_needs_no_memory(
    services: Services, tmp_path: Path, kind: str, many: int
) -> None:
    """Every entry comes, and the process is as large after it as before."""
    settings = services.new_settings(read_wait_seconds=0)
    make_topic(settings, [])
    asyncio.run(fill(settings, many))
    with System(settings, tmp_path) as system:
        process = system.start_http()
        client = http.client.HTTPConnection("127.0.0.1", settings.http_port, timeout=60)
        path = f"/api/organizations/{INN}/statement/?format={kind}"
        client.request("GET", f"{path}&to=1990-01-02")
        client.getresponse().read()
        before, largest = memory_of(process.pid), 0
        lines = read_bytes = 0
        end = b""
        client.request("GET", path)
        answer = client.getresponse()
        while block := answer.read(BLOCK_BYTES):
            lines, read_bytes = lines + block.count(b"\n"), read_bytes + len(block)
            end = (end + block)[-BLOCK_BYTES:]
            largest = max(largest, memory_of(process.pid))
        client.close()
        last = end.splitlines()[-1]
        assert lines == many + 1
        if kind == "json":
            assert json.loads(last.removesuffix(b"]}"))["entry"] == many
        else:
            assert last.startswith(b"%d," % many)
        assert read_bytes > 2 * GROWTH_BYTES_MAX * many / 100_000
        assert largest - before < GROWTH_BYTES_MAX
