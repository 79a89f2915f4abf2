"""Reading the body of a request: of the kind that is taken, not too long, and in time."""

import asyncio
import re

from aiohttp import hdrs, web

from ostatok.payment import BODY_BYTES_MAX
from ostatok_http.answers import JSON

BODY_SECONDS_MAX = 10.0
"""How long a body may take to come in whole."""


async def read_body(request: web.BaseRequest, other_kinds: frozenset[str] = frozenset()) -> bytes:
    """The body as it came. A body that is too long or of another kind is not even read.

    It may be JSON, or one of ``other_kinds``.
    """
    _refuse_other_kinds(request, other_kinds)
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX)
    if request.content.is_eof():  # It is all here, as nearly always: no timer needed.
        return await request.read()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except OSError as error:
        raise web.RequestPayloadError("The sender hung up in the middle.") from error


def require_kind(request: web.BaseRequest) -> None:
    """Answer 415 to a request that does not say what kind its body is, be it empty.

    A page of another site can make a browser post: a form with a kind of a form's, or a script a
    body without any. It can say application/json only when it is allowed to, and is allowed
    nothing here. The bank's webhook may leave the kind out, since the bank is no browser.
    """
    if not request.headers.get(hdrs.CONTENT_TYPE):
        raise web.HTTPUnsupportedMediaType


_is_charset_other_than_utf8 = re.compile(
    r";\s*charset\s*=\s*(?!\"?utf-?8\"?\s*(?:;|$))", re.IGNORECASE
).search


def _refuse_other_kinds(request: web.BaseRequest, other_kinds: frozenset[str]) -> None:
    coding = request.headers.get(hdrs.TRANSFER_ENCODING)
    if coding and coding.strip().lower() != "chunked":
        # aiohttp takes the chunks apart and leaves the rest of it, which nobody here undoes; others
        # may read it otherwise, so what follows on this connection is not read.
        request.protocol.close()
        raise web.RequestPayloadError("Only chunks are taken apart.")
    content_type = request.headers.get(hdrs.CONTENT_TYPE)
    if content_type and content_type != JSON:
        media_type = content_type.partition(";")[0].strip().lower()
        is_taken = media_type == JSON or media_type in other_kinds
        if not is_taken or _is_charset_other_than_utf8(content_type):
            raise web.HTTPUnsupportedMediaType
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding and encoding.strip().lower() != "identity":
        # RFC 9110, section 15.5.16: says what would have been taken.
        raise web.HTTPUnsupportedMediaType(headers={hdrs.ACCEPT_ENCODING: "identity"})
