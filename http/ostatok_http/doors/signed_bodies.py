"""Bodies that are a JWT: the payment inside a signature (RFC 7515, 7519)."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.api_jws import PyJWS

from ostatok.errors import SettingsError
from ostatok.sources import Jwt

RSA_BITS_MIN = 2048
"""RFC 7518, section 3.3."""

LEEWAY_SECONDS = 60.0
"""How far the sender's clock may be from ours."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey


class _Key(NamedTuple):
    kid: str | None
    algorithm: str
    key: PublicKey


class _Claims(msgspec.Struct, frozen=True):
    """What says when it holds; seconds of the Unix epoch (RFC 7519, section 4.1)."""

    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None


class SignedBodies:
    """Opens bodies that one of a sender's keys has signed."""

    def __init__(self, wanted: Jwt) -> None:
        """Read the keys. Raises :class:`SettingsError`."""
        self._keys = [key for path in wanted.keys for key in _keys_of(Path(path))]
        self._age_seconds_max = wanted.age_seconds_max
        self._claims = wanted.claims
        self._jws = PyJWS()
        if unwanted := {key.algorithm for key in self._keys} - set(wanted.algorithms):
            raise SettingsError(f"A key of jwt.keys is for {unwanted.pop()}, not in algorithms.")

    def open(self, body: bytes) -> bytes | None:
        """Give the payload, byte for byte as it was signed; None when no key of ours signed it.

        Also None when it holds no more, or not yet, by what it says itself.
        """
        token = body.strip()
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError):
            return None
        payload = self._verified(token, kid)
        if payload is None or not self._holds_now(payload) or not self._is_for_us(payload):
            return None
        return payload

    def _verified(self, token: bytes, kid: Any) -> bytes | None:
        for key in self._keys:
            if kid is not None and key.kid is not None and kid != key.kid:
                continue
            try:
                # The algorithm is the key's, whatever the token names (RFC 8725, section 3.1).
                opened = self._jws.decode_complete(token, key.key, [key.algorithm])
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            return bytes(opened["payload"])
        return None

    def _is_for_us(self, payload: bytes) -> bool:
        """Whether it claims all that it must (RFC 8725, sections 3.8 and 3.9)."""
        if not self._claims:
            return True
        try:
            claims = msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return all(_says(claims.get(name), wanted) for name, wanted in self._claims.items())

    def _holds_now(self, payload: bytes) -> bool:
        try:
            claims = msgspec.json.decode(payload, type=_Claims)
        except msgspec.ValidationError:
            return False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True  # It is no JSON, so no payment either: whoever reads it next says so.
        now = time.time()
        if claims.exp is not None and now > claims.exp + LEEWAY_SECONDS:
            return False
        for moment in (claims.nbf, claims.iat):
            if moment is not None and now < moment - LEEWAY_SECONDS:
                return False
        if self._age_seconds_max is None:
            return True
        return claims.iat is not None and now <= claims.iat + self._age_seconds_max


def _says(given: Any, wanted: str) -> bool:
    """Whether a claim says something: by itself, or, as ``aud`` may, among others."""
    return wanted in given if isinstance(given, list) else given == wanted


def _keys_of(path: Path) -> Iterable[_Key]:
    """Read a file of PEM, a JWK, or a set of JWKs (RFC 7517)."""
    wrong = f"{path}, of jwt.keys, is no public key"
    hint = "It must be PEM, a JWK or a set of JWKs, of RSA (RS256) or of the curve P-256 (ES256)."
    try:
        text = path.read_bytes()
        if text.lstrip().startswith(b"{"):
            found = msgspec.json.decode(text)
            jwks = found.get("keys", [found])
            keys = [(one.get("kid"), jwt.PyJWK(_public_part(one)).key) for one in jwks]
        elif b"CERTIFICATE" in text:
            keys = [(None, load_pem_x509_certificate(text).public_key())]
        else:
            keys = [(None, load_pem_public_key(text))]
    except OSError as error:
        raise SettingsError(f"{path}, of jwt.keys, can't be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise SettingsError(f"{wrong}.", hint=hint) from error
    except (jwt.PyJWTError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{wrong}.", hint=hint) from error
    for kid, key in keys:
        if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
            yield _Key(kid, "RS256", key)
        elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            yield _Key(kid, "ES256", key)
        else:
            raise SettingsError(
                f"{wrong} of a kind that is taken.", hint=f"{hint} RSA has {RSA_BITS_MIN} bits."
            )


def _public_part(jwk: dict[str, Any]) -> dict[str, Any]:
    """Leave what is private: who signs is the sender, and we need not be able to."""
    if jwk.get("kty") not in {"RSA", "EC"}:
        raise ValueError("a symmetric key")
    names = ("kty", "n", "e", "crv", "x", "y")
    public: dict[str, Any] = {name: jwk[name] for name in names if name in jwk}
    public["alg"] = {"RSA": "RS256", "EC": "ES256"}[jwk["kty"]]
    return public
