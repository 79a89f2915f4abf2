"""TLS handshakes that are begun and not done, at a service that encrypts by itself."""

import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import trustme
from support.crowd import crowd
from support.lone import Start, counted_on, port, start
from support.system import wait_until
from support.tls import tls_settings

__all__ = ["port", "start"]

ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

Ask = Callable[[str], bytes]


@pytest.fixture
def trusting() -> ssl.SSLContext:
    """Give a context that trusts the service."""
    return ssl.create_default_context()


@pytest.fixture
def files(tmp_path: Path, trusting: ssl.SSLContext) -> dict[str, Path]:
    """Give the settings of a service that encrypts."""
    authority = trustme.CA()
    authority.configure_trust(trusting)
    return tls_settings(authority, tmp_path)


@pytest.fixture
def ask(port: int, trusting: ssl.SSLContext) -> Ask:
    """Give a way to read what the service answers."""

    def read(path: str) -> bytes:
        request = Request(f"https://127.0.0.1:{port}{path}")
        with urlopen(request, timeout=20, context=trusting) as answer:  # noqa: S310  # https
            return bytes(answer.read())

    return read


def is_up(ask: Ask) -> bool:
    """Whether it answers."""
    try:
        return bool(ask("/healthz"))
    except OSError:
        return False


def metric(ask: Ask, name: str) -> float:
    """What the service counts."""
    return counted_on(ask("/metrics").decode(), name)


def some(connection: socket.socket) -> bytes:
    """What comes next; it may not end."""
    data = connection.recv(65_536)
    assert data
    return data


def test_they_are_counted_and_cut_off(
    start: Start, port: int, files: dict[str, Path], ask: Ask
) -> None:
    """Five hundred that say nothing, and five hundred that speak no TLS; honest ones are served."""
    start(**files)
    wait_until(lambda: is_up(ask), "it is up")
    with crowd(port, 500), crowd(port, 500, ASKED.decode()) as wrong:
        wait_until(lambda: wrong.still_open() == 0, "what is no TLS is ended")
        assert metric(ask, "connections") == 501
        name = 'cut_connections_total{reason="handshake"}'
        wait_until(lambda: metric(ask, name) == 1_000, "all are cut off", 20)
        assert metric(ask, "connections") == 1


def test_one_client_can_not_begin_them_all(
    start: Start, port: int, files: dict[str, Path], trusting: ssl.SSLContext, ask: Ask
) -> None:
    """Its limit holds before it has proven that it can speak TLS; another address is served."""
    start(http_client_connections_max=100, **files)
    wait_until(lambda: is_up(ask), "it is up")
    with crowd(port, 300) as many:
        wait_until(lambda: many.still_open() == 100, "the others are ended")
        other = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
        with trusting.wrap_socket(other, server_hostname="localhost") as honest:
            honest.sendall(ASKED)
            assert honest.recv(4_096).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_comes_with_the_handshakes_end_is_answered(
    start: Start,
    port: int,
    files: dict[str, Path],
    trusting: ssl.SSLContext,
    ask: Ask,
    version: ssl.TLSVersion,
) -> None:
    """A client need not wait: its last message and its request may be one packet, and its end."""
    start(**files)
    wait_until(lambda: is_up(ask), "it is up")
    trusting.maximum_version = version
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(received, to_send, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(to_send.read())
                received.write(some(connection))
        client.write(ASKED)
        connection.sendall(to_send.read())
        answer = b""
        while b"ok" not in answer:
            received.write(some(connection))
            try:
                answer += client.read()
            except ssl.SSLWantReadError:
                continue
    assert answer.startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: metric(ask, "connections") == 1, "it is forgotten")


def test_those_that_are_gone_are_no_storm_in_the_log(
    start: Start, port: int, files: dict[str, Path], ask: Ask
) -> None:
    """Neither are those under way when the service ends, which does not wait for them."""
    process = start(**files)
    wait_until(lambda: is_up(ask), "it is up")
    rudely = struct.pack("ii", 1, 0)  # What is sent at its end is a reset.
    for said in (b"", ASKED, b"\x16\x03\x01\x02\x00") * 300:
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(said)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rudely)
    wait_until(lambda: metric(ask, "connections") == 1, "they are forgotten")
    with crowd(port, 100):
        wait_until(lambda: metric(ask, "connections") == 101, "they are under way")
        process.terminate()
        _, logged = process.communicate(timeout=8)
    assert process.returncode == 0
    assert [line for line in logged.splitlines() if b'"level":"error"' in line] == []
    assert b"Traceback" not in logged
