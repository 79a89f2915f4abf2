"""The console put together: its pages, and what they share."""

import asyncio

from aiohttp import web

from ostatok.settings import Settings
from ostatok_http.console.conflicts import Conflicts
from ostatok_http.console.letters import Letters
from ostatok_http.console.live import Live
from ostatok_http.console.operations import Operations
from ostatok_http.console.organizations import Organizations
from ostatok_http.console.overview import Overview
from ostatok_http.console.recovery import Recovery
from ostatok_http.console.site import HOME, Site
from ostatok_http.console.world import World
from ostatok_http.story import Stories


def add_console(app: web.Application, settings: Settings, world: World) -> None:
    """Answer at the console's addresses."""
    site = Site(settings)
    live = Live(world.ledger, world.topic, world.records, world.reads.browser, world.journal_check)
    overview = Overview(site, live)
    organizations = Organizations(site, world.reads.browser)
    stories = Stories(world.reads.history, world.unapplied)
    operations = Operations(site, world.reads.browser, stories)
    conflicts = Conflicts(site, world.reads.browser, world.reads.history, world.records)
    letters = Letters(site, world.desk)
    recovery = Recovery(site, live, world.reads.runs)
    for path, handler in (
        ("/", overview.get),
        ("/events", overview.events),
        ("/organizations/", organizations.page),
        ("/organizations/{inn}/", organizations.one),
        ("/operations/{operation_id}/", operations.one),
        ("/search/", operations.search),
        ("/conflicts/", conflicts.page),
        ("/conflicts/{position}/", conflicts.one),
        ("/dead-letters/", letters.page),
        ("/dead-letters/{position}/", letters.one),
        ("/recovery/", recovery.get),
    ):
        # An answer without an end has no head of its own to ask for.
        has_end = handler != overview.events
        app.router.add_get(HOME + path, site.page(handler), allow_head=has_end)
    app.router.add_post(HOME + "/dead-letters/", site.page(letters.decide))
    site.add_to(app.router)

    async def close(_app: web.Application) -> None:
        """Let go of those who watch, before the drain waits for them."""
        await asyncio.gather(live.close(), organizations.snapshots.close())

    app.on_shutdown.append(close)
