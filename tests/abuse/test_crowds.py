"""Many connections, and many requests of one client."""

import resource
import socket
import struct
import subprocess
from pathlib import Path

from aiohttp import ClientSession
from support.crowd import crowd
from support.lone import Start, ask, counted_on, port, start, wait_alive
from support.system import wait_until
from support.webhooks import GOOD, INN, JSON, WEBHOOK, Serve

__all__ = ["port", "start"]

MANY = 10_000
KIB_EACH_MAX = 16
ASKED = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def resident_kib(process: subprocess.Popen[bytes]) -> int:
    """The memory of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1])


def metric(port: int, name: str) -> float:
    """What the service counts."""
    return counted_on(ask(port, "/metrics")[1].decode(), name)


def test_ten_thousand_connections_are_held(start: Start, port: int) -> None:
    """Each costs little, and honest ones are served between them."""
    process = start(http_client_connections_max=MANY * 2, http_connections_max=MANY + 10)
    wait_alive(port, process)
    before = resident_kib(process)
    with crowd(port, MANY, ASKED) as many:
        assert many.still_open() == MANY
        assert metric(port, "connections") == MANY + 1
        assert (resident_kib(process) - before) / MANY < KIB_EACH_MAX
        assert ask(port, WEBHOOK, b"{") == (400, b'{"error": "Invalid data"}')
        assert metric(port, 'refused_connections_total{limit="full"}') == 0
    wait_until(lambda: metric(port, "connections") == 1, "all are forgotten")


def test_past_the_limit_new_ones_are_ended_at_once(start: Start, port: int) -> None:
    """Those that are there are served; the others need no memory, and are counted."""
    process = start(http_client_connections_max=MANY * 2, http_connections_max=1_000)
    wait_alive(port, process)
    with socket.create_connection(("127.0.0.1", port)) as honest:
        honest.settimeout(10)
        honest.sendall(ASKED.encode())
        assert honest.recv(4_096).startswith(b"HTTP/1.1 200 OK")
        with crowd(port, MANY, ASKED) as many:
            wait_until(lambda: many.still_open() == 999, "the others are ended", 20)
            honest.sendall(ASKED.replace("healthz", "metrics").encode())
            received = b""
            while b'refused_connections_total{limit="full"} ' not in received:
                received += honest.recv(65_536)
            assert f'{{limit="full"}} {MANY - 999}.0'.encode() in received
        assert process.poll() is None


def test_a_storm_of_connections_that_end_at_once_is_no_storm_in_the_log(
    start: Start, port: int
) -> None:
    """Neither those that are refused nor those that are gone before they could be served."""
    process = start(http_connections_max=50)
    wait_alive(port, process)
    rudely = struct.pack("ii", 1, 0)  # What is sent at its end is a reset.
    for _ in range(2_000):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rudely)
    with crowd(port, 500, ASKED) as many:
        wait_until(lambda: many.still_open() <= 50, "the others are ended", 20)
    wait_until(lambda: ask(port, "/healthz")[0] == 200, "honest ones are served")
    process.terminate()
    _, logged = process.communicate(timeout=20)
    assert [line for line in logged.splitlines() if b'"level":"error"' in line] == []


def test_one_client_does_not_have_them_all(start: Start, port: int) -> None:
    """The proxies that are trusted may; of others one address is refused, and the next is not."""
    process = start(http_client_connections_max=100)
    wait_alive(port, process)
    with crowd(port, 300, ASKED) as many:
        wait_until(lambda: many.still_open() == 100, "the others are ended", 20)
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as one:
            one.settimeout(10)
            one.sendall(ASKED.encode())
            assert one.recv(4_096).startswith(b"HTTP/1.1 200 OK")


def test_a_proxy_of_ours_has_no_limit_of_its_own(start: Start, port: int) -> None:
    """All clients come by it."""
    process = start(
        http_client_connections_max=100, http_trusted_proxies="127.0.0.0/8", http_open_to_all=True
    )
    wait_alive(port, process)
    with crowd(port, 300, ASKED) as many:
        assert many.still_open() == 300


def test_a_limit_that_the_system_does_not_grant_is_said(start: Start, port: int) -> None:
    """A million connections: as many as there may be open files, and a line in the log."""
    process = start(http_connections_max=1_000_000)
    wait_alive(port, process)
    process.terminate()
    _, logged = process.communicate(timeout=20)
    (line,) = [line for line in logged.splitlines() if b"connections_limited" in line]
    assert b"OSTATOK_HTTP_CONNECTIONS_MAX is 1000000" in line


def test_as_many_open_files_are_taken_as_the_system_grants(start: Start, port: int) -> None:
    """A shell's usual soft limit is no limit of the service."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(2_048, hard - 1_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, hard), hard))
    try:
        process = start(http_connections_max=wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_alive(port, process)
    assert metric(port, "connections_max") == wanted


async def statuses_of(client: ClientSession, many: int, **headers: str) -> list[int]:
    """Ask for a balance so often."""
    statuses = []
    for _ in range(many):
        async with client.get(f"/api/organizations/{INN}/balance/", headers=headers) as answer:
            statuses.append(answer.status)
            if answer.status == 429:
                assert await answer.read() == b'{"error": "Too many requests"}'
                assert int(answer.headers["Retry-After"]) >= 1
    return statuses


async def test_a_client_that_asks_too_often_is_told_when_to_come_again(serve: Serve) -> None:
    """429 on both ways, for what exists and what doesn't; machines of ours ask as they like."""
    client = await serve(http_client_requests_per_second=0.01, http_client_requests_burst=3)
    assert await statuses_of(client, 5) == [404] * 3 + [429] * 2
    async with client.post(WEBHOOK, data=GOOD, headers=JSON) as answer:
        assert answer.status == 429
    for path in ("/", "/api/organizations/1/log/", "/api/openapi.json"):
        async with client.get(path) as answer:
            assert answer.status == 429, path
    for path in ("/healthz", "/metrics"):
        async with client.get(path) as answer:
            assert answer.status == 200, path
            text = await answer.text()
    assert 'webhooks_total{answer="too_many"} 1.0' in text
    assert 'balance_reads_total{answer="too_many"} 2.0' in text


async def test_behind_a_proxy_each_client_has_its_own_bucket(serve: Serve) -> None:
    """Which the proxy tells apart; what a client writes itself changes nothing."""
    client = await serve(
        http_client_requests_per_second=0.01,
        http_client_requests_burst=2,
        http_trusted_proxies="127.0.0.1",
        http_open_to_all=True,
    )
    for one in ("198.51.100.1", "198.51.100.2"):
        asked = await statuses_of(client, 3, **{"X-Forwarded-For": f"10.9.8.7, {one}"})
        assert asked == [404, 404, 429]
    lied = await statuses_of(client, 1, **{"X-Forwarded-For": "10.9.8.6, 198.51.100.1"})
    assert lied == [429]


async def test_processes_share_the_limit(serve: Serve, tmp_path: Path) -> None:
    """Each of four has a quarter."""
    client = await serve(
        http_client_requests_per_second=0.04,
        http_client_requests_burst=8,
        http_workers=4,
        http_workers_folder=tmp_path,
    )
    assert await statuses_of(client, 3) == [404, 404, 429]
