"""The first page: what happens now, and goes on being true while it is looked at."""

import asyncio
import json
from contextlib import aclosing
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from markupsafe import Markup

from ostatok.errors import LedgerUnavailable
from ostatok_http.answers import REQUEST_ID, REQUEST_ID_HEADER
from ostatok_http.console.charts import Axis, line
from ostatok_http.console.formats import Formats
from ostatok_http.console.live import Live
from ostatok_http.console.looks import Seen
from ostatok_http.console.site import SECURITY, Site, language_of
from ostatok_http.console.texts import Language, Speaker
from ostatok_http.refusals import FULL

BLOCKS = ("problem", "numbers", "charts", "partitions", "recent")
"""The parts of the page that change, each a template of its own."""

WRITE_SECONDS_MAX = 10.0
"""How long a browser may take to take an event in; who does not is let go."""


class Shown(NamedTuple):
    """The parts of the page in a language, as of a look."""

    number: int
    seen: Seen
    blocks: dict[str, str]
    events: dict[int, bytes]
    """What to send who has the parts of that number: encoded once for all of them."""

    def event(self, had: "Shown | None") -> bytes:
        """Give the event with the parts that are other than those somebody has."""
        number = had.number if had else 0
        if number not in self.events:
            before = had.blocks if had else {}
            changed = {one: html for one, html in self.blocks.items() if before.get(one) != html}
            self.events[number] = f"data: {json.dumps(changed)}\n\n".encode()
        return self.events[number]


class Overview:
    """The page, and the events that keep it true."""

    def __init__(self, site: Site, live: Live) -> None:
        self._site = site
        self._live = live
        self._shown: dict[Language, Shown] = {}
        self._numbers = count(1)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the page as of the last look."""
        shown = self._show(language_of(request), await self._live.now())
        blocks = {name: Markup(html) for name, html in shown.blocks.items()}  # noqa: S704  # our templates
        return self._site.render(request, "overview.html", blocks=blocks)

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
        language = language_of(request)
        sent: Shown | None = None
        try:
            async with aclosing(self._live.watch()) as looks:
                async for seen in looks:
                    if not await self._site.is_still_in(request):
                        break  # Logged out, here or elsewhere.
                    shown = self._show(language, seen)
                    async with asyncio.timeout(WRITE_SECONDS_MAX):
                        await response.write(shown.event(sent))
                    sent = shown
        except ConnectionError:
            pass  # The browser is gone.
        except LedgerUnavailable:
            pass  # Nobody can say whether he may still see it; it asks again, and is told why.
        except TimeoutError:
            # Else the connection would stay until the browser has read all that lies in it.
            if request.transport is not None:
                request.transport.abort()
        return response

    def _show(self, language: Language, seen: Seen) -> Shown:
        """Render once for all who watch in a language."""
        last = self._shown.get(language)
        if last is None or last.seen is not seen:
            values = self._values(language, seen)
            blocks = {
                name: self._site.fragment(language, f"live/{name}.html", **values)
                for name in BLOCKS
            }
            self._shown[language] = last = Shown(next(self._numbers), seen, blocks, {})
        return last

    def _values(self, language: Language, seen: Seen) -> dict[str, Any]:
        t, f = Speaker(language), self._site.formats(language)
        outcomes, counted_seconds = seen.outcomes()
        return {
            "seen": seen,
            "last": seen.looks[-1] if seen.looks else None,
            "rate": seen.rate_now(),
            "outcomes": outcomes,
            "counted_seconds": counted_seconds,
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
