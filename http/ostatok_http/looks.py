"""What watches the process asks for: /healthz, /readyz and /metrics.

With the API, or at a port of their own: a process that takes webhooks from the internet need not
show them there.
"""

from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler


class Looks(NamedTuple):
    """Each by its address."""

    healthz: Handler
    readyz: Handler
    metrics: Handler

    def add_to(self, router: web.UrlDispatcher, *names: str) -> None:
        """Answer at those of ``names``."""
        for name in names:
            router.add_get(f"/{name}", getattr(self, name), name=name)

    def app(self) -> web.Application:
        """Give a service of them alone."""
        app = web.Application()
        self.add_to(app.router, *self._fields)
        return app


LOOKS = web.AppKey("looks", Looks)
