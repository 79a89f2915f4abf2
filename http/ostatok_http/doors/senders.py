"""Who sends a webhook, and whether he has proven it: before anything of the body is parsed.

A source is let in by any of its ways, and a way by all that it names: see ostatok/sources.py.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

from aiohttp import web

from ostatok.errors import NotAuthenticated, TooManyRequests
from ostatok.settings import Settings
from ostatok.sources import Accept, Source, read_sources
from ostatok_http.doors.buckets import Buckets
from ostatok_http.doors.clients import Clients, is_within, networks_of
from ostatok_http.doors.proofs import Authorization, Hmac, StandardWebhooks, basic_credentials

BANK = "bank"
"""The source of `/api/webhook/bank/`, which is there without any setting."""

JWT_KINDS = frozenset({"application/jwt", "application/jose", "text/plain"})

OfHead = Callable[[web.BaseRequest], bool]
OfBody = Callable[[web.BaseRequest, bytes], bool]


class Sent(NamedTuple):
    """What a sender that has proven itself sent."""

    value: bytes
    """The payment, byte for byte as it was signed or came."""
    signed: bytes | None
    """The signed body that it was in, if it was in one."""


class _Way(NamedTuple):
    number: int
    of_head: Sequence[tuple[str, OfHead]]
    of_body: Sequence[tuple[str, OfBody]]
    open_signed: Callable[[bytes], bytes | None] | None
    """Gives what is in a signed body; None when nobody of his has signed it."""


class Sender:
    """One source, at its own address."""

    def __init__(self, name: str, source: Source | None, clients: Clients) -> None:
        """Be ``source``; None for one that nobody is asked to prove."""
        self.name = name
        accepts = source.accept if source is not None else ()
        ways = [_way(number, accept, clients) for number, accept in enumerate(accepts, 1)]
        # First those that look into the body: by another one a JWT would be taken for the payment.
        self._ways = sorted(ways, key=lambda way: way.open_signed is None)
        self._challenge = ", ".join(dict.fromkeys(_challenge(one, name) for one in accepts))
        rate = None if source is None else source.requests_per_second
        self._bucket = None
        if rate is not None:
            self._bucket = Buckets(rate, ceil(rate), keys_max=1)
        takes_jwt = any(way.open_signed for way in self._ways)
        self.kinds = JWT_KINDS if takes_jwt else frozenset[str]()
        """Kinds of body that are taken beside JSON."""

    @property
    def has_rate(self) -> bool:
        """Whether he may send only so many a second."""
        return self._bucket is not None

    def admit(self, request: web.BaseRequest) -> Sequence[_Way]:
        """Give the ways that may still be his, by all but the body, which need not be read else.

        Raises :class:`NotAuthenticated`.
        """
        if not self._ways:  # Nobody is asked to prove anything.
            return ()
        reasons = []
        ways = []
        for way in self._ways:
            wrong = next((name for name, holds in way.of_head if not holds(request)), None)
            if wrong is None:
                ways.append(way)
            else:
                reasons.append(f"{way.number}: {wrong}")
        if not ways:
            raise self._refusal(reasons)
        return ways

    def open(self, ways: Sequence[_Way], request: web.BaseRequest, body: bytes) -> Sent:
        """Give what was sent, when one of the ways holds. Raises :class:`NotAuthenticated`."""
        if not self._ways:
            return Sent(body, None)
        reasons = []
        for way in ways:
            wrong = next((name for name, holds in way.of_body if not holds(request, body)), None)
            if wrong is not None:
                reasons.append(f"{way.number}: {wrong}")
            elif way.open_signed is None:
                return Sent(body, None)
            elif (payload := way.open_signed(body)) is not None:
                return Sent(payload, body)
            else:
                reasons.append(f"{way.number}: jwt")
        raise self._refusal(reasons)

    def count(self) -> None:
        """Count a webhook of his. Raises :class:`TooManyRequests` past his rate.

        Only what he has proven to be his: nobody else can use it up.
        """
        if self._bucket is not None and (seconds := self._bucket.take(self.name)):
            raise TooManyRequests(f"source {self.name}: past its rate", after_seconds=seconds)

    def _refusal(self, reasons: Sequence[str]) -> NotAuthenticated:
        """Say in the log and the audit trail what did not hold, and the client nothing of it."""
        text = f"source {self.name}: does not hold: {'; '.join(reasons)}"
        return NotAuthenticated(text, challenge=self._challenge)


def route_of(source: str, number: int) -> str:
    """Name the route of a source, which is the ``number``-th: names are Python's."""
    return "webhook" if source == BANK else f"webhook.n{number}"


def senders_of(settings: Settings) -> list[Sender]:
    """Give every source of the settings. Raises :class:`SettingsError` for a key's file."""
    clients = Clients(settings.http_trusted_proxies)
    if settings.sources is None:
        return [Sender(BANK, None, clients)]
    found = read_sources(settings.sources.get_secret_value())
    return [Sender(name, source, clients) for name, source in found.items()]


def _way(number: int, accept: Accept, clients: Clients) -> _Way:
    of_head: list[tuple[str, OfHead]] = []
    of_body: list[tuple[str, OfBody]] = []
    if accept.networks:
        networks = networks_of(list(accept.networks))
        of_head.append(("networks", lambda request: is_within(clients.of(request), networks)))
    if accept.client_certificate is not None:
        # Loaded only here, as below: the library takes longer to load than all else here.
        from ostatok_http.doors.certificates import Certificates  # noqa: PLC0415

        certificates = Certificates(accept.client_certificate, clients)
        of_head.append(("client_certificate", certificates.holds))
    if accept.bearer is not None:
        of_head.append(("bearer", Authorization("bearer", accept.bearer.tokens).holds))
    if accept.basic is not None:
        credentials = basic_credentials(accept.basic.user, accept.basic.passwords)
        of_head.append(("basic", Authorization("basic", credentials).holds))
    if accept.standard_webhooks is not None:
        of_body.append(("standard_webhooks", StandardWebhooks(accept.standard_webhooks).holds))
    if accept.hmac is not None:
        of_body.append(("hmac", Hmac(accept.hmac).holds))
    open_signed = None
    if accept.jwt is not None:
        from ostatok_http.doors.signed_bodies import SignedBodies  # noqa: PLC0415

        open_signed = SignedBodies(accept.jwt).open
    return _Way(number, of_head, of_body, open_signed)


def _challenge(accept: Accept, name: str) -> str:
    """RFC 9110, section 11.6.1. There is no registered scheme for a signature of a body."""
    if accept.bearer is not None:
        return f'Bearer realm="{name}"'
    if accept.basic is not None:
        return f'Basic realm="{name}", charset="UTF-8"'
    return f'Webhook realm="{name}"'
