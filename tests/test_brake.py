"""The brake between reading and applying: it holds, and it starves no partition."""

import random
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

from support import foreign
from support.payments import PARTITIONS, body
from support.services import Services
from support.system import System, wait_until

from ostatok.journal import partition_of
from ostatok_stream.brake import FETCHES_MAX, LONG_RECORDS, Brake

BATCH = 20
EACH = 400
PADDING = "x" * 10_000
"""With it aiokafka has about a hundred records of a partition at a time, and gives these in turn
before it gives those of the next: four turns for each partition."""


async def test_it_holds_when_enough_is_in_hand() -> None:
    """As many as may be; one that was applied lets the next in, and a rebalance lets in all."""
    brake, fetches = Brake(), [object() for _ in range(FETCHES_MAX)]
    for fetch in fetches:
        assert await brake.has_room(0)
        brake.took(fetch, LONG_RECORDS)
    assert not await brake.has_room(0)
    brake.applied(fetches[1])
    assert await brake.has_room(0)
    brake.took(fetches[1], LONG_RECORDS)
    brake.release()
    for fetch in fetches:
        assert await brake.has_room(0)
        brake.took(object(), LONG_RECORDS)
        brake.applied(fetch)  # Of before: it makes no room among the new ones.
    assert not await brake.has_room(0)


async def test_nothing_is_read_ahead_of_a_short_fetch() -> None:
    """What is read while a few records are applied would wait for them, and others for it."""
    brake, short, long = Brake(), object(), object()
    brake.took(short, LONG_RECORDS - 1)
    assert not await brake.has_room(0)
    brake.applied(short)
    brake.took(long, LONG_RECORDS)
    assert await brake.has_room(0)
    brake.took(short, 1)
    brake.applied(long)
    assert not await brake.has_room(0)


def test_no_partition_stands_still_while_others_go_on(services: Services, tmp_path: Path) -> None:
    """A backlog in all partitions is applied in turns: no turn is longer than a few batches each.

    With Faust's own brake a partition waited until nearly all others were at their end.
    """
    settings = services.new_settings(stream_batch_records_max=BATCH)
    with System(settings, tmp_path) as system:
        produce(settings)
        system.start_stream()
        wait_until(lambda: applied(system) == PARTITIONS * EACH, "all is applied")
        order = [
            partition for (partition,) in system.sql("SELECT partition FROM payment ORDER BY ctid")
        ]
    assert longest_turn(order) < len(order) / 2


def produce(settings: Any) -> None:
    """Write as many payments to each partition, in an order by chance."""
    inns = list(inns_of_all_partitions().values()) * EACH
    random.Random(1).shuffle(inns)
    records = [{"key": inn, "value": body(payer_inn=inn, padding=PADDING)} for inn in inns]
    foreign.produce(settings, records)


def inns_of_all_partitions() -> dict[int, str]:
    """An INN of each partition."""
    found: dict[int, str] = {}
    for number in count(7_700_000_000):
        found.setdefault(partition_of(str(number), PARTITIONS), str(number))
        if len(found) == PARTITIONS:
            break
    return found


def applied(system: System) -> int:
    """How many records have their outcome."""
    ((many,),) = system.sql("SELECT sum(next_offset)::int FROM applied_offset")
    return int(many)


def longest_turn(order: list[int]) -> int:
    """The most records of others between two of a partition that still had some."""
    last: dict[int, int] = {}
    longest: dict[int, int] = defaultdict(int)
    for at, partition in enumerate(order):
        longest[partition] = max(longest[partition], at - last.get(partition, 0))
        last[partition] = at
    return max(longest.values())
