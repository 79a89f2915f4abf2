"""Who asks, behind proxies of ours and in spite of what anyone can write."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from ostatok_http.doors.clients import Clients, household_of

OURS = "10.0.0.0/8, fd00::/8"
CLIENT = "203.0.113.7"


class Transport:
    """The connection of a request, by a peer."""

    def __init__(self, peer: str) -> None:
        self.peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give the peer's address."""
        return (self.peer, 40_000) if name == "peername" and self.peer else default


def client(peer: str, *forwarded: str, trusted: str | None = OURS) -> str:
    """Say who asks in a request."""
    headers = CIMultiDict(("X-Forwarded-For", value) for value in forwarded)
    request = make_mocked_request("POST", "/", headers=headers, transport=Transport(peer))
    return Clients(trusted).of(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "asks"),
    [
        (CLIENT, [], CLIENT),
        ("::ffff:203.0.113.7", [], CLIENT),
        ("10.0.0.1", [CLIENT], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", [f"{CLIENT}, 10.0.0.2"], CLIENT),
        ("10.0.0.1", [CLIENT, "10.0.0.2"], CLIENT),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("", [CLIENT], ""),
    ],
)
def test_who_asks_is_the_last_that_is_not_ours(peer: str, forwarded: list[str], asks: str) -> None:
    """Each proxy of ours adds who asked it; the others are passed over."""
    assert client(peer, *forwarded) == asks


@pytest.mark.parametrize(
    ("peer", "forwarded", "asks"),
    [
        (CLIENT, ["198.51.100.1"], CLIENT),
        (CLIENT, ["10.0.0.9"], CLIENT),
        ("10.0.0.1", [f"198.51.100.1, {CLIENT}"], CLIENT),
        ("10.0.0.1", ["198.51.100.1", CLIENT], CLIENT),
        ("10.0.0.1", [f"198.51.100.1, {CLIENT}, 10.0.0.2"], CLIENT),
        ("10.0.0.1", ["198.51.100.1, unknown"], ""),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2:443"], ""),
    ],
)
def test_what_a_client_writes_itself_is_not_believed(
    peer: str, forwarded: list[str], asks: str
) -> None:
    """It stands before what our own proxy adds, or came past all proxies."""
    assert client(peer, *forwarded) == asks


def test_without_proxies_of_ours_nobody_is_believed() -> None:
    """Which is how it is until somebody names them."""
    assert client("10.0.0.1", CLIENT, trusted=None) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", household_of("2001:db8::ffff")),
        ("2001:db8:0:0:ffff::", household_of("2001:db8::1")),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_is_counted_by_its_network(address: str, whose: str) -> None:
    """Whoever has one has 2**64 of them."""
    assert household_of(address) == whose
    assert household_of("2001:db8::1") != household_of("2001:db8:0:1::1")


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_a_household_has_one_network(client: str, network: str) -> None:
    """Of IPv6 whoever has one address there has as many as he likes."""
    assert household_of(client) == network
