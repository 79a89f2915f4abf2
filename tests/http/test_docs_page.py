"""The page that shows the API's document: from the wheel, under a strict policy, without a CDN."""

import re
from html.parser import HTMLParser
from typing import Any

from aiohttp import ClientSession

from ostatok_http.documents.serving import FILES, PAGE, POLICY


class Addresses(HTMLParser):
    """What a page takes from elsewhere, and what it has of its own inside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep addresses, and what a policy without 'unsafe-inline' refuses."""
        given = dict(attrs)
        self.found += [text for name in ("src", "href") if (text := given.get(name))]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


async def get(client: ClientSession, path: str) -> tuple[int, Any, bytes]:
    """Ask, and give status, headers and body."""
    async with client.get(path, allow_redirects=False) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_the_page_takes_everything_from_here(client: ClientSession) -> None:
    """Every file it names is served by us, as what it is; nothing is inline, nothing is foreign."""
    status, headers, page = await get(client, f"{PAGE}/")
    assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
    assert headers["X-Content-Type-Options"] == "nosniff"
    addresses = Addresses()
    addresses.feed(page.decode())
    assert addresses.inline == []
    assert len(addresses.found) == len(FILES) + 2  # its own script, and the document
    for address in addresses.found:
        assert "//" not in address
        status, headers, body = await get(client, f"{PAGE}/{address}".replace("/docs/../", "/"))
        assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff"), address
        assert body
        kind = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
        expected = kind.get(address.rpartition(".")[2], "application/json")
        assert headers["Content-Type"].partition(";")[0] == expected


async def test_files_of_the_wheel_are_kept_by_browsers(client: ClientSession) -> None:
    """For a year, since their address names their version; no other file can be had."""
    _, _, page = await get(client, f"{PAGE}/")
    (folder,) = set(re.findall(r"swagger-ui-[0-9.]+[0-9](?=/)", page.decode()))
    for file in FILES:
        _, headers, _ = await get(client, f"{PAGE}/{folder}/{file}")
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for path in (f"{folder}/index.html", "swagger-ui-9.9.9/swagger-ui.css", f"{folder}/%2e%2e/x"):
        assert (await get(client, f"{PAGE}/{path}"))[0] == 404
    _, headers, _ = await get(client, f"{PAGE}/page.js")
    assert headers["Cache-Control"] == "no-cache"


async def test_without_its_slash_it_leads_there(client: ClientSession) -> None:
    """By a relative address, so also behind a proxy that puts a folder before it."""
    status, headers, _ = await get(client, PAGE)
    assert (status, headers["Location"]) == (308, "docs/")
