"""API tokens: how one looks, is made, and is recognised.

``ost_<id>_<secret>``: the id is public and finds the token; the secret is 256 random bits. Only a
hash of the whole is kept. A plain SHA-256 is enough of one: nobody guesses 256 bits, so nothing is
won by a slow hash, and each request would pay for it. The form is one that scanners for secrets
can find: ``ost_[0-9a-f]{12}_[A-Za-z0-9_-]{43}``.
"""

import hashlib
import re
import secrets
from typing import NamedTuple

ID_BYTES = 6
SECRET_BYTES = 32

_match = re.compile(r"ost_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII).fullmatch

is_id = re.compile(r"[0-9a-f]{12}", re.ASCII).fullmatch


class NewToken(NamedTuple):
    """A token that was just made. Its text is shown once, and kept nowhere."""

    id: str
    text: str


def make() -> NewToken:
    """Make a token."""
    token_id = secrets.token_hex(ID_BYTES)
    return NewToken(token_id, f"ost_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}")


def id_of(text: str) -> str | None:
    """Give the id of what looks like a token; None for what does not."""
    found = _match(text)
    return None if found is None else found[1]


def hash_of(text: str) -> bytes:
    """Give what is kept of a token; of any text, also one that was no UTF-8 in a header."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
