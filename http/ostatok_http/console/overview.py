"""The first page: what happens now, and goes on being true while it is looked at."""

import asyncio
import json
from datetime import datetime
from typing import Any

from aiohttp import hdrs, web
from markupsafe import Markup

from ostatok_http.answers import REQUEST_ID, REQUEST_ID_HEADER
from ostatok_http.console.charts import Axis, line
from ostatok_http.console.formats import Formats
from ostatok_http.console.live import LOOK_SECONDS, LOOKED_MAX, Live, Seen
from ostatok_http.console.site import SECURITY, Site, language_of
from ostatok_http.console.texts import Language, Speaker
from ostatok_http.refusals import FULL

BLOCKS = ("problem", "numbers", "charts", "partitions", "recent")
"""The parts of the page that change, each a template of its own."""

WRITE_SECONDS_MAX = 10.0
"""How long a browser may take to take an event in; who does not is let go."""


class Overview:
    """The page, and the events that keep it true."""

    def __init__(self, site: Site, live: Live) -> None:
        self._site = site
        self._live = live
        self._rendered: dict[Language, tuple[Seen, dict[str, str]]] = {}

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the page as of the last look."""
        blocks = self._blocks(language_of(request), await self._live.now())
        shown = {name: Markup(html) for name, html in blocks.items()}  # noqa: S704  # our templates
        return self._site.render(request, "overview.html", blocks=shown)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send the parts that changed with each look, as server-sent events (HTML, section 9.2)."""
        if self._live.is_full:
            return self._site.refuse(request, FULL, web.HTTPServiceUnavailable())
        response = web.StreamResponse(
            headers={
                **SECURITY,
                REQUEST_ID_HEADER: request[REQUEST_ID],
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",  # nginx would collect events otherwise
            }
        )
        await response.prepare(request)
        language, sent = language_of(request), dict[str, str]()
        try:
            async for seen in self._live.watch():
                blocks = self._blocks(language, seen)
                changed = {one: html for one, html in blocks.items() if sent.get(one) != html}
                sent = blocks
                async with asyncio.timeout(WRITE_SECONDS_MAX):
                    await response.write(f"data: {json.dumps(changed)}\n\n".encode())
        except (ConnectionError, TimeoutError):
            pass  # The browser is gone.
        return response

    def _blocks(self, language: Language, seen: Seen) -> dict[str, str]:
        """Render once for all who watch in a language."""
        last = self._rendered.get(language)
        if last is None or last[0] is not seen:
            values = self._values(language, seen)
            blocks = {
                name: self._site.fragment(language, f"live/{name}.html", **values)
                for name in BLOCKS
            }
            self._rendered[language] = last = (seen, blocks)
        return last[1]

    def _values(self, language: Language, seen: Seen) -> dict[str, Any]:
        t, f = Speaker(language), self._site.formats(language)
        last = seen.looks[-1] if seen.looks else None
        return {
            "seen": seen,
            "last": last,
            "rate": seen.rate_now(),
            "outcomes": seen.outcomes(),
            "looked_seconds": LOOK_SECONDS * min(len(seen.looks), LOOKED_MAX),
            "rates_chart": _rates_chart(t, f, seen),
            "lag_chart": _lag_chart(t, f, seen),
        }


def _rates_chart(t: Speaker, f: Formats, seen: Seen) -> Markup:
    rates = seen.rates()
    received = [(at.timestamp(), rate) for at, rate, _ in rates]
    applied = [(at.timestamp(), rate) for at, _, rate in rates]
    most = max([1.0, *(rate for _, rate in received), *(rate for _, rate in applied)])
    upward = Axis(0, most, lambda value: t("overview.per_second", rate=f.rate(value)))
    return line(t("overview.rates_chart"), received, _across(f, seen), upward, second=applied)


def _lag_chart(t: Speaker, f: Formats, seen: Seen) -> Markup:
    points = [(look.at.timestamp(), float(look.lag)) for look in seen.looks]
    upward = Axis(0, max([1.0, *(lag for _, lag in points)]), f.number)
    return line(t("overview.lag_chart"), points, _across(f, seen), upward)


def _across(f: Formats, seen: Seen) -> Axis:
    """From the first look that is kept to the last."""
    times = [look.at.timestamp() for look in seen.looks] or [0.0]
    zone = None if not seen.looks else seen.looks[-1].at.tzinfo
    return Axis(times[0], times[-1], lambda at: f.clock(datetime.fromtimestamp(at, zone)))
