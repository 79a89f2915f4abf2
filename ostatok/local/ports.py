"""Ports of the loopback interface."""

import random
import socket

from ostatok.errors import LocalError

PORTS = range(20_000, 32_000)
"""Below 32768, where Linux begins to hand out ports to outgoing connections: while a part is down,
a client that dials its port again and again could otherwise be given that very port."""

_TRIES = 1000
_given: set[int] = set()


def check_free(port: int, host: str = "127.0.0.1") -> None:
    """Raise OSError, the kernel's own, when no server could listen on ``port`` of ``host``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def _is_free(port: int) -> bool:
    try:
        check_free(port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Give a port of 127.0.0.1 that nothing listens on, and never the same one twice.

    Whoever gets it listens only later, so that asking the kernel alone would not keep two
    services of one process apart.
    """
    for _ in range(_TRIES):
        port = random.choice(PORTS)  # noqa: S311  # no secret
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise LocalError(f"There is no free port between {PORTS[0]} and {PORTS[-1]}.")


def keep(port: int) -> None:
    """Never give this port: somebody of ours will listen on it."""
    _given.add(port)
