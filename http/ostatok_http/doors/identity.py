"""Who asks, once he has proved it."""

from dataclasses import dataclass

from aiohttp import web

BALANCE_READ = "balance:read"
HISTORY_READ = "history:read"
OPERATOR = "operator"

SCOPES = (BALANCE_READ, HISTORY_READ, OPERATOR)
"""What can be allowed. None of them includes another: who is to have two is given two."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has proved who he is, and what he may do."""

    name: str
    """How decisions and the trail name him: ``anna``, ``token crm``."""
    scopes: frozenset[str]
    """Of :data:`SCOPES`."""
    inns: frozenset[str] | None = None
    """The INNs that he may ask about; None for all."""

    def may_see(self, inn: str) -> bool:
        """Whether he may ask about an INN."""
        return self.inns is None or inn in self.inns


IDENTITY = web.RequestKey("identity", Identity)
"""On a request whose sender has proved who he is."""
