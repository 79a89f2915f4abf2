"""What is posted: from a page of ours, and read in a limited time and size."""

import asyncio
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from multidict import MultiDict

from ostatok.errors import InvalidParameters
from ostatok.payment import BODY_BYTES_MAX
from ostatok_http.bodies import BODY_SECONDS_MAX

FORM = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 4 * BODY_BYTES_MAX
"""A corrected body, each of its bytes written as up to three."""


async def read_form(request: web.Request, bytes_max: int = FORM_BYTES_MAX) -> MultiDict[str]:
    """Read the form that was posted. Raises HTTPRequestEntityTooLarge, and HTTPRequestTimeout."""
    if request.content_type != FORM or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            posted = await request.clone(client_max_size=bytes_max).post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except UnicodeDecodeError:
        raise InvalidParameters({"": "the form is not UTF-8"}) from None
    return MultiDict((name, value) for name, value in posted.items() if isinstance(value, str))


def require_same_origin(request: web.Request) -> None:
    """Refuse what another site's page makes a browser send here. Raises HTTPForbidden.

    A browser says with each POST whose page made it (Origin), and newer ones also whether that is
    this site (Sec-Fetch-Site).
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = urlsplit(request.headers.get(hdrs.ORIGIN, "")).netloc
    if site not in (None, "same-origin") or (site is None and origin != request.host):
        raise web.HTTPForbidden
