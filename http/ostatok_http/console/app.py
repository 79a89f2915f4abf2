"""The console put together: its pages, and what they share."""

import asyncio

from aiohttp import web

from ostatok.settings import Settings
from ostatok_db.logins import Failures, Logins
from ostatok_http.console.conflicts import Conflicts
from ostatok_http.console.letters import Letters
from ostatok_http.console.live import Live
from ostatok_http.console.login import Login
from ostatok_http.console.operations import Operations
from ostatok_http.console.organizations import Organizations
from ostatok_http.console.overview import Overview
from ostatok_http.console.recovery import Recovery
from ostatok_http.console.site import HOME, LOGIN, Site
from ostatok_http.console.trail import TrailPage
from ostatok_http.console.world import World
from ostatok_http.doors.throttle import Throttle
from ostatok_http.story import Stories


def add_console(app: web.Application, settings: Settings, world: World) -> None:
    """Answer at the console's addresses."""
    logins = Logins(settings, world.writes) if settings.http_authentication else None
    site = Site(settings, logins)
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
        # As the API has it, for who is logged in and has no token.
        ("/organizations/{inn}/statement/", world.statement.get),
        ("/operations/{operation_id}/", operations.one),
        ("/search/", operations.search),
        ("/conflicts/", conflicts.page),
        ("/conflicts/{position}/", conflicts.one),
        ("/dead-letters/", letters.page),
        ("/dead-letters/{position}/", letters.one),
        ("/recovery/", recovery.get),
    ):
        # An answer without an end has no head of its own to ask for.
        is_stream = handler == overview.events
        answer = site.page(handler, is_stream=is_stream)
        app.router.add_get(HOME + path, answer, allow_head=not is_stream)
    app.router.add_post(HOME + "/dead-letters/", site.page(letters.decide))
    if logins is not None and site.access is not None:
        throttle = Throttle(Failures(world.writes))
        _add_login(app.router, site, Login(site, site.access, logins, throttle, world.trail))
        trail = TrailPage(site, world.reads.trail)
        app.router.add_get(HOME + "/trail/", site.page(trail.page))
    site.add_to(app.router)

    async def close(_app: web.Application) -> None:
        """Let go of those who watch, before the drain waits for them."""
        await asyncio.gather(live.close(), organizations.snapshots.close())

    app.on_shutdown.append(close)


def _add_login(router: web.UrlDispatcher, site: Site, login: Login) -> None:
    """Answer at the addresses that are about who one is."""
    router.add_get(LOGIN, site.page(login.page, is_open=True))
    router.add_post(LOGIN, site.page(login.log_in, is_open=True))
    router.add_get(HOME + "/sessions/", site.page(login.sessions))
    router.add_post(HOME + "/logout/", site.page(login.log_out))
