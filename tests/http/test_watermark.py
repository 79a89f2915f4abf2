"""What one worker acknowledged, all know."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostatok.settings import load
from ostatok_http.watermark import PARTITIONS_MAX, Watermark

OTHER_WORKER = """
import sys
from pathlib import Path
from ostatok.settings import load
from ostatok_http.watermark import Watermark

settings = load(http_workers=3, http_worker=2, http_workers_folder=Path(sys.argv[1]))
watermark = Watermark.open(settings)
for offset in range(1, 10_001):
    watermark.move(5, offset)
watermark.move(11, 1)
"""


@contextmanager
def opened(folder: Path | None, worker: int = 0) -> Iterator[Watermark]:
    """Open the watermark as one of three workers."""
    watermark = Watermark.open(load(http_workers=3, http_worker=worker, http_workers_folder=folder))
    yield watermark
    watermark.close()


def test_another_process_is_heard(tmp_path: Path) -> None:
    """While another worker moves the watermark, this one sees it only grow, and then all of it."""
    with opened(tmp_path) as watermark:
        watermark.move(5, 7)
        other = subprocess.Popen([sys.executable, "-c", OTHER_WORKER, str(tmp_path)])
        seen = [7]
        while other.poll() is None:
            seen.append(watermark.of(5))
        assert other.returncode == 0
        assert seen == sorted(seen)
        assert watermark.of(5) == 10_000
        assert watermark.of(11) == 1


def test_each_partition_has_its_own(tmp_path: Path) -> None:
    """Of a partition in which nothing was acknowledged the watermark is 0."""
    with opened(tmp_path) as watermark:
        watermark.move(0, 3)
        watermark.move(PARTITIONS_MAX - 1, 4)
        assert watermark.of(0) == 3
        assert watermark.of(1) == 0
        assert watermark.of(PARTITIONS_MAX - 1) == 4


def test_it_never_goes_back(tmp_path: Path) -> None:
    """Acknowledgements come in any order; the latest position stands."""
    with opened(tmp_path) as watermark:
        watermark.move(3, 12)
        watermark.move(3, 9)
        assert watermark.of(3) == 12


def test_the_furthest_worker_counts(tmp_path: Path) -> None:
    """Each worker writes its own row, and all read the greatest."""
    with opened(tmp_path, 0) as first, opened(tmp_path, 1) as second:
        first.move(3, 12)
        second.move(3, 15)
        first.move(3, 14)
        assert first.of(3) == second.of(3) == 15
    offsets = memoryview((tmp_path / "watermark").read_bytes()).cast("q")
    assert list(offsets[3::PARTITIONS_MAX]) == [14, 15, 0]


def test_a_worker_that_comes_back_goes_on(tmp_path: Path) -> None:
    """A worker that died forgets nothing of what it acknowledged."""
    with opened(tmp_path, 1) as watermark:
        watermark.move(3, 12)
    with opened(tmp_path, 1) as watermark:
        assert watermark.of(3) == 12
        watermark.move(3, 5)
        assert watermark.of(3) == 12


def test_a_single_process_needs_no_folder() -> None:
    """Without a folder the watermark is the process's own."""
    with opened(None) as watermark, opened(None) as another:
        watermark.move(3, 12)
        assert (watermark.of(3), another.of(3)) == (12, 0)


@pytest.mark.parametrize("partition", [-1, PARTITIONS_MAX])
def test_no_row_is_written_into_by_its_neighbour(tmp_path: Path, partition: int) -> None:
    """A partition that can't be is refused, instead of landing in another worker's row."""
    with opened(tmp_path) as watermark, pytest.raises(ValueError, match="partition"):
        watermark.move(partition, 1)
