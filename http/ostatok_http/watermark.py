"""How far each partition of the journal was acknowledged to a bank by this `ostatok http`.

A balance read waits until the ledger has come as far, so that POST, 200, GET shows the payment,
whichever of the workers answered which of the two.
"""

import mmap
import os
from pathlib import Path
from typing import Self

from ostatok.settings import Settings

PARTITIONS_MAX = 10_000
"""The most that the setting ``topic_partitions`` allows; a row is that long, mostly a hole."""

_OFFSET_BYTES = 8


class Watermark:
    """One row of offsets for each worker: it alone writes there, and everyone reads all rows.

    An aligned 8-byte store can't be seen half done, and a topic's offsets only grow: so no lock is
    needed, and a worker that died and came back goes on with its row.
    """

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        self._memory = memory
        self._offsets = memoryview(memory).cast("q")
        self._row = worker * PARTITIONS_MAX

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Share the file in the workers' folder; without a folder, the memory is this process's."""
        row_bytes = PARTITIONS_MAX * _OFFSET_BYTES
        if settings.http_workers_folder is None:
            return cls(mmap.mmap(-1, row_bytes), worker=0)
        size = settings.http_workers * row_bytes
        return cls(_map(settings.http_workers_folder / "watermark", size), settings.http_worker)

    def close(self) -> None:
        """Let go of the memory; the file stays for the other workers."""
        self._offsets.release()
        self._memory.close()

    def move(self, partition: int, next_offset: int) -> None:
        """Say that everything of ``partition`` below ``next_offset`` may have been acknowledged."""
        if not 0 <= partition < PARTITIONS_MAX:
            raise ValueError(f"No topic of ours has a partition {partition}.")
        cell = self._row + partition
        self._offsets[cell] = max(self._offsets[cell], next_offset)

    def forget(self) -> None:
        """Forget what this worker acknowledged: the topic is another one now."""
        for partition in range(PARTITIONS_MAX):
            self._offsets[self._row + partition] = 0

    def of(self, partition: int) -> int:
        """The next offset after all that any worker acknowledged in ``partition``; 0 for none."""
        return max(self._offsets[partition::PARTITIONS_MAX])


def _map(path: Path, size: int) -> mmap.mmap:
    """Map the file, made and grown by whoever comes first; its new bytes are zeros."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_size < size:
            os.truncate(file, size)
        return mmap.mmap(file, size)
    finally:
        os.close(file)
