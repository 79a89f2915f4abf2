"""From which address a request comes, also behind proxies."""

from asyncio import BaseTransport
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

FORWARDED_FOR = "X-Forwarded-For"

REMEMBERED_MAX = 4_096
"""Addresses whose reading is remembered, which takes longer than all else that is asked of one."""

HOUSEHOLD_BITS = 64

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Clients:
    """Tells who asks: the peer, or whom proxies of ours say that they ask for."""

    def __init__(self, trusted_proxies: str | None) -> None:
        """Believe the proxies of these networks, which are separated by commas."""
        self._trusted = proxies_of(trusted_proxies)

    def of(self, request: web.BaseRequest) -> str:
        """Give the address as text; empty when it can't be told.

        Each proxy adds, at the end of X-Forwarded-For, whom it was asked by. So that is read from
        its end, as long as one of ours has written it: what stands before that, anyone can write.
        """
        peer = peer_of(request.transport)
        if not self._trusted or not is_within(peer, self._trusted):
            return peer
        asked_by = ",".join(request.headers.getall(FORWARDED_FOR, [])).split(",")
        for name in reversed(asked_by):
            client = read_address(name.strip())
            if client is None:
                # One of ours says that it does not know, or something is wrong: nobody's address.
                return "" if name.strip() else peer
            peer = str(client)
            if not is_within(peer, self._trusted):
                break
        return peer

    def is_by_proxy(self, request: web.BaseRequest) -> bool:
        """Whether the connection is one of our own proxies'."""
        return is_within(peer_of(request.transport), self._trusted)


def networks_of(names: list[str]) -> tuple[Network, ...]:
    """Read networks. Raises ValueError for what is none."""
    return tuple(ip_network(name.strip()) for name in names if name.strip())


@lru_cache(maxsize=REMEMBERED_MAX)
def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks; an empty one lies in none."""
    parsed = read_address(address) if networks else None
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(maxsize=REMEMBERED_MAX)
def read_address(text: str) -> Address | None:
    """Read an address; one of IPv4 that is written as IPv6 is the same address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=REMEMBERED_MAX)
def household_of(address: str) -> str:
    """Give whom an address is counted as: itself, and of IPv6 the network that one household has.

    Whoever has one address there has 2**64 of them.
    """
    parsed = read_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed.packed, HOUSEHOLD_BITS), strict=False))
    return address if parsed is None else str(parsed)


def proxies_of(setting: str | None) -> tuple[Network, ...]:
    """Read the setting that names our own proxies; None for none."""
    return networks_of((setting or "").split(","))


def peer_of(transport: BaseTransport | None) -> str:
    """Give the address at the other end of a connection; empty when it can't be told."""
    peer = None if transport is None else transport.get_extra_info("peername")
    address = read_address(str(peer[0])) if peer else None
    return "" if address is None else str(address)
