"""Serves the two documents, and the page that shows the first.

Nothing of them is made or loaded before somebody asks: a start has no time for it.
"""

import string
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import hdrs, web

from ostatok.settings import Settings
from ostatok_http.ok import Ok

OPENAPI, ASYNCAPI = "/api/openapi.json", "/api/asyncapi.json"
PAGE = "/api/docs"
PAGE_ROUTES = ("docs", "docs.bare", "docs_script", "docs_file", "docs_openapi")
"""The page is no part of the API, and not in the document."""

SCRIPT = "text/javascript; charset=utf-8"
FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": SCRIPT,
    "favicon-32x32.png": "image/png",
}
"""What the page takes from the wheel, and of which kind it is."""

# All that Swagger UI wants beside its own files, as Chromium has shown: its style sheet has
# pictures in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_NO_SNIFF = {"X-Content-Type-Options": "nosniff"}

_HERE = Path(__file__).parent


class Documents:
    """The documents of a service with these settings, each made once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer at the documents' addresses."""
        router.add_get(OPENAPI, self.openapi, name="openapi")
        router.add_get(ASYNCAPI, self.asyncapi, name="asyncapi")
        router.add_get(f"{PAGE}/", self.page, name="docs")
        router.add_get(PAGE, self.to_the_page, name="docs.bare")
        router.add_get(f"{PAGE}/page.js", self.script, name="docs_script")
        router.add_get(f"{PAGE}/openapi-3.0.json", self.openapi_3_0, name="docs_openapi")
        router.add_get(f"{PAGE}/{{folder}}/{{file}}", self.file, name="docs_file")

    async def openapi(self, _request: web.Request) -> Ok:
        """Answer the document of the API."""
        return _json(self._openapi[0])

    async def openapi_3_0(self, _request: web.Request) -> Ok:
        """Answer the same for the page."""
        return _json(self._openapi[1])

    async def asyncapi(self, _request: web.Request) -> Ok:
        """Answer the document of the topic."""
        return _json(self._asyncapi)

    async def page(self, _request: web.Request) -> web.Response:
        """Answer the page."""
        headers = _NO_SNIFF | {
            hdrs.CACHE_CONTROL: _ASK_AGAIN,
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
        }
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def to_the_page(self, _request: web.Request) -> web.Response:
        """Lead to the page, whose addresses are relative to its last slash."""
        return web.Response(status=308, headers={hdrs.LOCATION: f"{PAGE.rpartition('/')[2]}/"})

    async def script(self, _request: web.Request) -> web.FileResponse:
        """Answer what starts the page."""
        return _file(_HERE / "page.js", SCRIPT, _ASK_AGAIN)

    async def file(self, request: web.Request) -> web.FileResponse:
        """Answer a file of the wheel's: its folder names the version, so it never changes."""
        folder, file = request.match_info["folder"], request.match_info["file"]
        if folder != self._bundle.name or file not in FILES:
            raise web.HTTPNotFound
        return _file(self._bundle / file, FILES[file], _FOR_EVER)

    @cached_property
    def _openapi(self) -> tuple[bytes, bytes]:
        from ostatok_http.documents import older, openapi  # noqa: PLC0415

        document = openapi.document(self._settings)
        return _encoded(document), _encoded(older.in_3_0(document))

    @cached_property
    def _asyncapi(self) -> bytes:
        from ostatok_http.documents import asyncapi  # noqa: PLC0415

        return _encoded(asyncapi.document(self._settings))

    @cached_property
    def _bundle(self) -> Path:
        from swagger_ui_bundle import swagger_ui_path  # noqa: PLC0415

        return Path(swagger_ui_path)

    @cached_property
    def _page(self) -> str:
        page = string.Template((_HERE / "page.html").read_text(encoding="utf-8"))
        return page.substitute(folder=self._bundle.name)


def _encoded(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document)


def _json(body: bytes) -> Ok:
    return Ok(body, _NO_SNIFF | {hdrs.CACHE_CONTROL: _ASK_AGAIN})


def _file(path: Path, kind: str, cache_control: str) -> web.FileResponse:
    headers = {hdrs.CONTENT_TYPE: kind, hdrs.CACHE_CONTROL: cache_control}
    return web.FileResponse(path, headers=_NO_SNIFF | headers)
