"""What a request can prove its sender by, each compared in constant time."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence

from aiohttp import hdrs, web
from standardwebhooks import Webhook, WebhookVerificationError

from ostatok import sources

STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Authorization:
    """The header Authorization, of one scheme."""

    def __init__(self, scheme: str, credentials: Sequence[str]) -> None:
        self._scheme = scheme
        self._credentials = [one.encode() for one in credentials]

    def holds(self, request: web.BaseRequest) -> bool:
        """Whether it has one of the credentials."""
        values = request.headers.getall(hdrs.AUTHORIZATION, [])
        if len(values) != 1:
            return False
        scheme, _, given = values[0].partition(" ")
        text = given.strip().encode(errors="surrogateescape")
        return scheme.lower() == self._scheme and _is_one_of(text, self._credentials)


def basic_credentials(user: str, passwords: Sequence[str]) -> list[str]:
    """Write users and passwords as ``Authorization: Basic`` has them (RFC 7617)."""
    return [base64.b64encode(f"{user}:{password}".encode()).decode() for password in passwords]


class StandardWebhooks:
    """https://www.standardwebhooks.com, by its own library."""

    def __init__(self, wanted: sources.StandardWebhooks) -> None:
        self._tolerance_seconds = wanted.tolerance_seconds
        self._webhooks = [Webhook(secret) for secret in wanted.secrets]

    def holds(self, request: web.BaseRequest, body: bytes) -> bool:
        """Whether the body was signed by one of the secrets, and not long ago."""
        headers = {}
        for name in STANDARD_HEADERS:
            values = request.headers.getall(name, ())
            if len(values) != 1:
                return False
            headers[name] = values[0]
        try:
            seconds = time.time() - float(headers["webhook-timestamp"])
        except ValueError:
            return False
        # The library has 300 seconds, and no other number; what is no number is not within either.
        if not abs(seconds) <= self._tolerance_seconds:
            return False
        return any(_verifies(webhook, body, headers) for webhook in self._webhooks)


def _verifies(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    # It lets a malformed header's or body's errors through: not two parts, no base64, no UTF-8.
    except (WebhookVerificationError, ValueError):
        return False
    return True


class Hmac:
    """HMAC-SHA256 over the body, in a header (RFC 2104)."""

    def __init__(self, wanted: sources.Hmac) -> None:
        self._wanted = wanted
        self._secrets = [secret.encode() for secret in wanted.secrets]

    def holds(self, request: web.BaseRequest, body: bytes) -> bool:
        """Whether the body was signed by one of the secrets."""
        values = request.headers.getall(self._wanted.header, [])
        if len(values) != 1 or not values[0].startswith(self._wanted.prefix):
            return False
        text = values[0].removeprefix(self._wanted.prefix).strip()
        is_hex = self._wanted.encoding == "hex"
        try:
            given = bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return False
        # hmac.digest would let go of the interpreter each time, and other threads have it for long.
        right = [hmac.new(secret, body, hashlib.sha256).digest() for secret in self._secrets]
        return _is_one_of(given, right)


def _is_one_of(given: bytes, right: Sequence[bytes]) -> bool:
    """Whether it is; takes as long whichever it is."""
    return sum(hmac.compare_digest(given, one) for one in right) > 0
