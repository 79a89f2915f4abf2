"""Memory and processor time of every worker of a service, whichever of them is asked."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.registry import Collector

_SUFFIX = ".pid"


class WorkerProcesses(Collector):
    """What ProcessCollector shows of a lone process, with a label ``worker``.

    Workers share a folder, in which each keeps its process id; the rest is the kernel's to say
    (``/proc``: on other systems than Linux there is nothing). One that is dead is left out.
    """

    def __init__(self, folder: Path, worker: int, pid: int) -> None:
        """Be the worker of that number, and the process of that id."""
        self._folder = folder
        # At one stroke: another worker may be reading it.
        new = folder / f"{worker}.new"
        new.write_text(str(pid), encoding="ascii")
        new.replace(folder / f"{worker}{_SUFFIX}")

    def collect(self) -> Iterable[Metric]:
        """Look at each worker's process."""
        found: dict[str, Metric] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            for family in _collect(path):
                metric = Metric(family.name, family.documentation, family.type)
                for sample in family.samples:
                    found.setdefault(family.name, metric).add_sample(
                        sample.name, {"worker": path.stem}, sample.value
                    )
        return found.values()


def _collect(path: Path) -> Iterator[Metric]:
    def pid() -> str:
        return path.read_text(encoding="ascii")

    # Not in a registry: several of them would have the same names.
    no_registry: CollectorRegistry | None = None
    yield from ProcessCollector(pid=pid, registry=no_registry).collect()
