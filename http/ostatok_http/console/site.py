"""What every page of the console has in common: language, theme, headers, errors, files.

A page is HTML that was rendered here, for a browser that runs no script but ours.
"""

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import structlog
from aiohttp import hdrs, web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from multidict import MultiDict

from ostatok.errors import (
    AccessError,
    InvalidFields,
    NotAllowed,
    NotAuthenticated,
    OstatokError,
)
from ostatok.settings import Settings
from ostatok_db.logins import Logins
from ostatok_http.answers import ANSWER, DENIAL, REQUEST_ID
from ostatok_http.console.access import SESSION, Access
from ostatok_http.console.formats import Formats
from ostatok_http.console.forms import read_form, require_same_origin
from ostatok_http.console.texts import LANGUAGES, Language, Speaker, preferred
from ostatok_http.doors.clients import Clients
from ostatok_http.doors.identity import IDENTITY, OPERATOR
from ostatok_http.hosts import host_names, require_known_host
from ostatok_http.refusals import FAILED, Refusal, refusal_of

HOME = "/console"
LOGIN = HOME + "/login/"

CSRF_FIELD = "csrf"
"""The field of each form that says from whose page it comes."""

LANGUAGE_COOKIE, THEME_COOKIE, WHO_COOKIE = "ostatok_language", "ostatok_theme", "ostatok_who"
THEMES = ("auto", "light", "dark")
COOKIE_SECONDS = 365 * 86_400

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_SAFE = (hdrs.METH_GET, hdrs.METH_HEAD)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Site:
    """Renders pages, and answers what belongs to no page."""

    def __init__(self, settings: Settings, logins: Logins | None = None) -> None:
        """Render what the settings want; with ``logins``, for who is logged in alone."""
        self._zone = ZoneInfo(settings.console_timezone)
        self._names = host_names(settings.http_names)
        self.clients = Clients(settings.http_trusted_proxies)
        self.access = None if logins is None else Access(logins, self.clients, HOME)
        self._may_all_decide = settings.http_operators
        self._environment = Environment(
            loader=PackageLoader("ostatok_http.console"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    @property
    def zone(self) -> ZoneInfo:
        """The zone of every time that the console shows or is given."""
        return self._zone

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Answer at the addresses that belong to no page; last of all, since it takes the rest."""
        router.add_get(HOME, _to_home)
        router.add_get(HOME + "/static/{name}", self.page(_static, is_open=True))
        for name, cookie, allowed in (
            ("language", LANGUAGE_COOKIE, LANGUAGES),
            ("theme", THEME_COOKIE, THEMES),
        ):
            choose = self.page(_choosing(cookie, allowed), is_open=True)
            router.add_get(f"{HOME}/{name}/{{choice}}", choose)
        router.add_get(HOME + "/{rest:.*}", self.page(_nothing))

    def page(self, handler: Handler, *, is_open: bool = False, is_stream: bool = False) -> Handler:
        """Make what a handler raises a page that says so; no error is an empty screen.

        Who is not logged in is led to the login, but from what ``is_open``, and from a stream,
        which a script asks for.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                require_known_host(request, self._names)
                if self.access is not None and not is_open:
                    # A stream is asked for by itself, again and again: nobody need be there.
                    await self.access.enter(request, touch=not is_stream)
                return await handler(request)
            except Exception as error:  # As in answers.py: an error becomes a status in one place.
                if (
                    isinstance(error, NotAuthenticated)
                    and request.method in _SAFE
                    and not is_stream
                ):
                    request[DENIAL] = str(error)
                    return redirect(f"{LOGIN}?{urlencode({'to': request.path_qs})}")
                refusal = refusal_of(error, "console")
                request[ANSWER] = refusal.name
                if isinstance(error, AccessError):
                    request[DENIAL] = str(error)
                if refusal is FAILED:
                    log.exception("request_failed", request_id=request[REQUEST_ID], exc_info=error)
                return self.refuse(request, refusal, error)

        return answer

    def refuse(self, request: web.Request, refusal: Refusal, error: Exception) -> web.Response:
        """Answer a page that says what went wrong, and what can be done."""
        fields = error.reasons if isinstance(error, InvalidFields) else {}
        return self.render(
            request,
            "error.html",
            status=refusal.status,
            refusal=refusal,
            fields=fields,
            reason=error if isinstance(error, OstatokError) and not fields else None,
            request_id=request[REQUEST_ID],
        )

    def may_decide(self, request: web.Request) -> bool:
        """Whether who asks may decide about anything."""
        if self.access is None:
            return self._may_all_decide
        return IDENTITY in request and OPERATOR in request[IDENTITY].scopes

    def require_operator(self, request: web.Request) -> None:
        """Refuse who may not decide. Raises NotAllowed; HTTPNotFound where nobody may."""
        if not self.may_decide(request):
            raise web.HTTPNotFound if self.access is None else NotAllowed

    async def posted(self, request: web.Request) -> MultiDict[str]:
        """Read a form that was posted from one of our own pages. Raises HTTPForbidden."""
        require_same_origin(request)
        form = await read_form(request)
        if self.access is not None:
            self.access.check_form(request, form.popall(CSRF_FIELD, []))
        return form

    async def is_still_in(self, request: web.Request) -> bool:
        """Whether who began this request may still see what goes on."""
        return self.access is None or await self.access.is_still_in(request)

    def render(
        self, request: web.Request, template: str, status: int = 200, **values: object
    ) -> web.Response:
        """Answer a page."""
        return web.Response(
            text=self.fragment(language_of(request), template, **self._frame(request), **values),
            status=status,
            content_type="text/html",
            headers={
                **SECURITY,
                hdrs.CACHE_CONTROL: "no-store",
                hdrs.VARY: f"{hdrs.ACCEPT_LANGUAGE}, {hdrs.COOKIE}",
            },
        )

    def fragment(self, language: Language, template: str, **values: object) -> str:
        """Render a template in a language, which is a page or a part of one."""
        return self._environment.get_template(template).render(
            t=Speaker(language), f=self.formats(language), language=language, home=HOME, **values
        )

    def formats(self, language: Language) -> Formats:
        """Give how values are written in a language."""
        return Formats(language, self._zone)

    def _frame(self, request: web.Request) -> dict[str, object]:
        theme = request.cookies.get(THEME_COOKIE)
        session = request.get(SESSION)
        return {
            "here": request.path,
            "back": request.path_qs,
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "static": _version,
            "may_decide": self.may_decide(request),
            "asks_login": self.access is not None,
            "who": session and session.who,
            "csrf": session and session.csrf,
        }


def language_of(request: web.Request) -> Language:
    """Give the language somebody chose, or else the one his browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    for language in LANGUAGES:
        if language == chosen:
            return language
    return preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))


def redirect(location: str) -> web.Response:
    """Lead to another page (RFC 9110, section 15.4.4)."""
    return web.Response(status=303, headers={**SECURITY, hdrs.LOCATION: location})


def set_cookie(response: web.StreamResponse, name: str, value: str) -> None:
    """Keep a choice for a year, out of the reach of scripts.

    Who follows a link of another site has his language and theme; nothing is decided by them.
    """
    response.set_cookie(
        name, value, path=HOME, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax"
    )


async def _to_home(_request: web.Request) -> web.StreamResponse:
    return redirect(HOME + "/")


async def _nothing(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


def _choosing(cookie: str, allowed: tuple[str, ...]) -> Handler:
    async def choose(request: web.Request) -> web.StreamResponse:
        choice = request.match_info["choice"]
        if choice not in allowed:
            raise web.HTTPNotFound
        response = redirect(safe(request.query.get("to")))
        set_cookie(response, cookie, choice)
        return response

    return choose


def safe(target: str | None) -> str:
    """Where to go back to: within the console, or its beginning."""
    if target and target.startswith(HOME + "/") and target.isprintable() and "\\" not in target:
        return target
    return HOME + "/"


@cache
def _files() -> Mapping[str, tuple[bytes, str]]:
    """Give each file that pages fetch, and the version of it that its address carries."""
    folder = files("ostatok_http.console").joinpath("static")
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    return {name: (body, hashlib.sha256(body).hexdigest()[:12]) for name, body in found.items()}


def _version(name: str) -> str:
    """Give the address of a file; it changes when the file does."""
    return f"{HOME}/static/{name}?v={_files()[name][1]}"


async def _static(request: web.Request) -> web.StreamResponse:
    found = _files().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    body, version = found
    is_this = request.query.get("v") == version
    return web.Response(
        body=body,
        content_type=mimetypes.guess_type(request.match_info["name"])[0],
        charset="utf-8",
        headers={
            **SECURITY,
            hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable" if is_this else "no-cache",
        },
    )
