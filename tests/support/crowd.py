"""Many connections from a process of its own, which has its own limit of open files.

``python -m support.crowd PORT MANY``: opens them, says how many are open on a line, and again for
each line that it is sent, until standard input ends.
"""

import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.5
BACKLOG = 500
"""Opened before the next are; the system refuses what waits too long to be accepted."""


class Crowd:
    """That process, as the test sees it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.opened = self._read()

    def still_open(self) -> int:
        """Count the connections that the service has not ended."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def crowd(port: int, many: int, first: str = "") -> Iterator[Crowd]:
    """Open so many connections, and say ``first`` on each."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.crowd", str(port), str(many), first],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Crowd(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def _main(port: int, many: int, first: bytes) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connected: list[socket.socket] = []
    for at in range(many):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(first)
        connected.append(one)
        if at % BACKLOG == 0:
            select.select([], [], [], 0.01)
    while True:
        poll = select.epoll(len(connected))
        for one in connected:
            # An end makes it readable; what the service says before stays unread.
            poll.register(one, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        ended = {fileno for fileno, _ in poll.poll(LOOK_SECONDS, len(connected))}
        poll.close()
        print(len(connected) - len(ended), flush=True)  # noqa: T201  # it is how it answers
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode())
