"""By which names a browser may ask for what has no authentication.

A page of another site can have its own name lead to this machine (DNS rebinding); to the browser we
are that site then, whatever it sends along of where a request comes from. It can't do so with a
name that is ours, or with an address.
"""

import ipaddress

from aiohttp import web

LOCAL = "localhost"


def require_known_host(request: web.BaseRequest, names: frozenset[str]) -> None:
    """Refuse a request for another host than an address, localhost or one of ``names``.

    Raises HTTPForbidden.
    """
    host = request.host.lower()
    name = host.partition("]")[0].strip("[") if host.startswith("[") else host.partition(":")[0]
    if name == LOCAL or name in names or _is_address(name):
        return
    raise web.HTTPForbidden


def host_names(text: str | None) -> frozenset[str]:
    """Read names that are separated by commas; None for none."""
    return frozenset(name.strip().lower() for name in (text or "").split(",") if name.strip())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
