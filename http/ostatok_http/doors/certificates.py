"""The certificate that a client shows, to us or to a proxy of ours (mTLS)."""

import base64
import binascii
import hashlib
from functools import lru_cache
from hmac import compare_digest
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web
from cryptography.x509 import (
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    InvalidVersion,
    SubjectAlternativeName,
    UnsupportedGeneralNameType,
    load_der_x509_certificate,
)

from ostatok.sources import ClientCertificate
from ostatok_http.doors.clients import Clients


class _Shown(NamedTuple):
    sha256: str
    names: frozenset[str]


class Certificates:
    """Tells whether a request was made with a certificate of a sender."""

    def __init__(self, wanted: ClientCertificate, clients: Clients) -> None:
        self._wanted = wanted
        self._names = frozenset(name.lower() for name in wanted.names)
        self._clients = clients

    def holds(self, request: web.BaseRequest) -> bool:
        """Whether it is one of those that are named.

        A proxy of ours has its own connection to us, so what counts then is what it hands on. The
        header of anybody else is not looked at.
        """
        if self._wanted.header is not None and self._clients.is_by_proxy(request):
            der = _handed_on(request.headers.getall(self._wanted.header, []))
        else:
            der = _shown_to_us(request)
        shown = None if der is None else _read(der)
        if shown is None:
            return False
        return any(compare_digest(shown.sha256, one) for one in self._wanted.sha256) or bool(
            shown.names & self._names
        )


def _shown_to_us(request: web.BaseRequest) -> bytes | None:
    """Give the certificate of the handshake, which a CA of ours has signed."""
    transport = request.transport
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    shown: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
    return shown


def _handed_on(values: list[str]) -> bytes | None:
    """Read base64 of DER, or PEM, percent-encoded as some proxies must, or between colons."""
    if len(values) != 1:
        return None
    text = unquote(values[0]).strip().strip(":")
    for mark in ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"):
        text = text.replace(mark, "")
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


@lru_cache(maxsize=1_000)
def _read(der: bytes) -> _Shown | None:
    try:
        extensions = load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(SubjectAlternativeName).value
        dns = names.get_values_for_type(DNSName)
    except ExtensionNotFound:
        dns = []
    except (ValueError, DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType):
        return None
    return _Shown(hashlib.sha256(der).hexdigest(), frozenset(name.lower() for name in dns))
