"""Who sends webhooks, and how each proves it: the setting ``sources``, a text of TOML.

::

    [bank]                                    # POST /api/webhook/bank/
    requests_per_second = 500

    [[bank.accept]]
    networks = ["185.71.76.0/27"]             # all that one `accept` names must hold
    standard_webhooks.secrets = ["whsec_…"]

    [[bank.accept]]                           # … or all of this one: so is one replaced
    bearer.tokens = ["…"]

Of secrets, tokens, passwords, keys and certificates there can be several: each of them is right, so
that a sender can change over without a gap.
"""

import base64
import binascii
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SECRET_CHARACTERS_MIN = 16
"""A shorter one could be guessed."""

STANDARD_WEBHOOKS_PREFIX = "whsec_"
TOLERANCE_SECONDS_MAX = 300
"""What Standard Webhooks recommends, and its library has."""

REDRIVE = "redrive"
"""The source of a redriven record whose dead one had none: no sender's."""

_Several = Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]
_HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]

_is_source = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}").fullmatch
_is_sha256 = re.compile(r"[0-9a-f]{64}").fullmatch


class StandardWebhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """https://www.standardwebhooks.com: HMAC-SHA256 over id, time and body."""

    secrets: _Several
    tolerance_seconds: Annotated[int, Meta(ge=1, le=TOLERANCE_SECONDS_MAX)] = TOLERANCE_SECONDS_MAX
    """How far the time of a webhook may be from ours; an older one is a replay."""


class Hmac(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """HMAC-SHA256 over the body, in a header."""

    header: _HeaderName
    secrets: _Several
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Meta(max_length=32)] = ""
    """What stands before it in the header, such as ``sha256=``."""


class Jwt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body is a JWT (RFC 7519), signed by a key of the sender; its payload is the payment."""

    keys: _Several
    """Files: a public key as PEM, a JWK, or a set of JWKs."""
    algorithms: Annotated[tuple[Literal["RS256", "ES256"], ...], Meta(min_length=1)] = (
        "RS256",
        "ES256",
    )
    age_seconds_max: Annotated[int, Meta(ge=1)] | None = None
    """How old it may be by its ``iat``, which it must have then; None for any age."""
    claims: dict[str, str] = {}
    """Claims that it must have, such as ``aud``, with what each must say, or have among others.

    Whoever signs for others too says by them for whom: without, their webhooks would count here.
    """


class Bearer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``Authorization: Bearer …`` (RFC 6750)."""

    tokens: _Several


class Basic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``Authorization: Basic …`` (RFC 7617)."""

    user: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[^:]*$")]
    passwords: _Several


class ClientCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate that the sender shows in the TLS handshake, signed by a CA of ours."""

    sha256: tuple[str, ...] = ()
    """Fingerprints of whole certificates (DER), hexadecimal."""
    names: tuple[str, ...] = ()
    """DNS names, one of which must be in its subject alternative names."""
    header: _HeaderName | None = None
    """Where a proxy of ours (``http_trusted_proxies``) hands it on, as base64 of its DER."""


class Accept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to be let in: everything that is named here must hold."""

    networks: tuple[str, ...] = ()
    standard_webhooks: StandardWebhooks | None = None
    hmac: Hmac | None = None
    jwt: Jwt | None = None
    bearer: Bearer | None = None
    basic: Basic | None = None
    client_certificate: ClientCertificate | None = None


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sender of webhooks: its name is in the address, the journal and the ledger."""

    accept: Annotated[tuple[Accept, ...], Meta(min_length=1, max_length=20)]
    requests_per_second: Annotated[float, Meta(gt=0)] | None = None
    """What each http process takes of it, at once as much as in a second; past it 429. None for
    as much as comes. Not divided by the processes: a sender may be at one of them alone."""


def read_sources(text: str) -> dict[str, Source]:
    """Read the setting: name → source. Raises ValueError, which never quotes a value."""
    try:
        sources = msgspec.toml.decode(text, type=dict[str, Source])
    except msgspec.ValidationError as error:
        # What a value is instead stands before " - at ", and may be a secret in a wrong place.
        where = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else "$"
        raise ValueError(
            f"must be sources as docs/security.md shows; what is not is at {where}"
        ) from None
    except msgspec.DecodeError:
        raise ValueError("must be TOML: [bank], then [[bank.accept]]; it can't be read") from None
    if not sources:
        raise ValueError("must name a source, such as [bank]")
    for name, source in sources.items():
        if not _is_source(name) or name == REDRIVE:
            raise ValueError(
                f"must name sources by 1 to 32 of a-z, 0-9, - and _, and none {REDRIVE}"
            )
        for number, accept in enumerate(source.accept, 1):
            try:
                _check(accept)
            except ValueError as error:
                raise ValueError(f"{name}, accept {number}: {error}") from None
    return sources


def _check(accept: Accept) -> None:
    if accept == Accept():
        raise ValueError("must name at least one thing that has to hold")
    if accept.bearer and accept.basic:
        raise ValueError("bearer and basic can't both be in one header: give two accepts")
    for network in accept.networks:
        _check_network(network)
    for secret in accept.standard_webhooks.secrets if accept.standard_webhooks else ():
        _check_standard_secret(secret)
    _check_secrets("hmac.secrets", accept.hmac.secrets if accept.hmac else ())
    _check_secrets("bearer.tokens", accept.bearer.tokens if accept.bearer else ())
    _check_secrets("basic.passwords", accept.basic.passwords if accept.basic else ())
    for key in accept.jwt.keys if accept.jwt else ():
        _check_file(key)
    if accept.client_certificate is not None:
        _check_certificate(accept.client_certificate)


def _check_file(path: str) -> None:
    """See that there is a file. What it is instead is not quoted: it may be the key itself."""
    try:
        is_there = Path(path).is_file()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        raise ValueError("jwt.keys must be paths of readable files; one of them is not")


def _check_network(network: str) -> None:
    try:
        ip_network(network)
    except ValueError:
        raise ValueError("networks must be such as 185.71.76.0/27") from None


def _check_secrets(kind: str, secrets: tuple[str, ...]) -> None:
    if any(len(secret) < SECRET_CHARACTERS_MIN for secret in secrets):
        raise ValueError(f"{kind} must have {SECRET_CHARACTERS_MIN} characters or more")


def _check_standard_secret(secret: str) -> None:
    try:
        text = secret.removeprefix(STANDARD_WEBHOOKS_PREFIX)
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < SECRET_CHARACTERS_MIN:
        raise ValueError(
            f"standard_webhooks.secrets must be {STANDARD_WEBHOOKS_PREFIX} and base64 of "
            f"{SECRET_CHARACTERS_MIN} bytes or more"
        )


def _check_certificate(certificate: ClientCertificate) -> None:
    if not certificate.sha256 and not certificate.names:
        raise ValueError("client_certificate must say whose: sha256 or names")
    if not all(map(_is_sha256, certificate.sha256)):
        raise ValueError("client_certificate.sha256 must be 64 of 0-9 and a-f each")
