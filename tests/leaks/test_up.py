"""``ostatok up`` with secrets in its environment, and those that it makes itself."""

from pathlib import Path
from urllib.parse import urlsplit

from support import leaks
from support.collector import running_collector
from support.system import wait_until
from support.whole import Whole, data_folder, running_up

from ostatok.setting_types import PREFIX

TRACED = {
    f"{PREFIX}TRACES_RATIO": "1",
    f"{PREFIX}LOG_LEVEL": "debug",
    f"{PREFIX}HTTP_AUTHENTICATION": "true",
}


def children_of(pid: int) -> set[int]:
    """All processes that one has started, and those that they have."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = leaks.read_quietly(path).rpartition(b")")[2].split()
        if fields:
            parents[int(path.parent.name)] = int(fields[1])
    found, before = {pid}, set[int]()
    while found != before:
        before = set(found)
        found |= {one for one, parent in parents.items() if parent in found}
    return found - {pid}


def test_up_keeps_its_secrets_to_itself() -> None:
    """They are in files for its owner alone, and in what it starts of ours; nowhere else."""
    with running_collector() as collector, data_folder() as folder:
        variables = {
            **leaks.variables(),
            **TRACED,
            f"{PREFIX}TRACES_ENDPOINT": collector.url,
        }
        with running_up(folder, **variables) as whole:
            made = {
                path.name: path.read_text(encoding="ascii").strip()
                for path in (folder / "postgres").glob("password*")
            }
            assert urlsplit(whole.run["database_url"]).password == made["password"]
            assert all(len(password) > 20 for password in made.values())
            leaks.drive(whole.port, "ost_000000000000_wrong")
            wait_until(lambda: bool(collector.spans), "spans")
            _search_processes(whole, made)
            _search_files(whole, made)
        spans = b"".join(collector.bodies)
        assert not leaks.found_in(spans, also=made)


def _search_processes(whole: Whole, made: dict[str, str]) -> None:
    """Nobody shows a secret in the list of processes; no foreign program is given one."""
    assert not leaks.found_in(leaks.process_lists(), also=made)
    pids = whole.run["pids"]
    foreign = {*pids["postgres"], *pids["kafka"]}
    assert foreign <= children_of(whole.process.pid)
    for pid in foreign:
        for one in {pid} | children_of(pid):
            given = leaks.environment_of_process(one)
            assert PREFIX.encode() not in given
            assert not leaks.found_in(given, also=made)
    ours = leaks.environment_of_process(pids["http"][0])
    # Of the services it has its own password alone; of the others what it needs.
    names = {one.partition(":")[0] for one in leaks.found_in(ours, also=made)}
    assert names == {"password-http", "traces_headers", "sources"}


def _search_files(whole: Whole, made: dict[str, str]) -> None:
    """Few files that it writes have a secret in them, and those are for their owner alone."""
    keeping = {whole.folder / "run.json", *(whole.folder / "postgres" / name for name in made)}
    for path in keeping:
        assert path.stat().st_mode & 0o777 == 0o600
        assert leaks.found_in(path.read_bytes(), [], also=made)
    # A webhook's body may hold anything; its headers are not kept.
    for path in whole.folder.rglob("*"):
        if path.is_file() and path not in keeping:
            assert not leaks.found_in(leaks.read_quietly(path), also=made), path
    assert not leaks.found_in(whole.said().encode(), also=made)
