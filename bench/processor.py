"""Processor time of whole process trees, from /proc: Linux only."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# In /proc/<pid>/stat, counted from the field after the program's name: proc(5) has them two later.
_PARENT, _FIRST_TIME, _LAST_TIME = 1, 11, 14


def cpu_seconds(roots: Iterable[int]) -> float:
    """What the trees below these processes have used up to now, the roots and the dead included.

    A process counts its own time and that of the children it has collected. So the time of one
    that ends between two calls, as a Postgres backend does, only moves from it to its parent,
    and the difference of the two calls is right.
    """
    children: defaultdict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _fields(folder)):
            children[int(fields[_PARENT])].append(int(folder.name))
            ticks[int(folder.name)] = sum(map(int, fields[_FIRST_TIME : _LAST_TIME + 1]))
    found, waiting = 0, list(roots)
    while waiting:
        pid = waiting.pop()
        assert pid in ticks, f"The process {pid} has ended."
        found += ticks[pid]
        waiting += children[pid]
    return found * _TICK_SECONDS


def _fields(folder: Path) -> list[str]:
    """The fields after the name, which may hold anything; none when the process has just ended."""
    try:
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
