"""Passwords of the console's users: what is asked of one, and the only form in which it is kept."""

import re
import secrets
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_BYTES_MAX = 1_024
"""More than anybody types, and nothing that hashing would take long for."""

OTHER_CHARACTERS_MIN = 6
"""Characters that have to be left of a password without the words and runs that guessers try."""

DIFFERENT_MIN = 5

MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
"""Argon2id's parameters: 19 MiB, twice (OWASP's least); 30 ms on the machine of the benches. With
more memory a few who log in at once would cost a process what it has for webhooks."""

GENERATED_BYTES = 18

_WORDS = ("ostatok", "остаток", "password", "пароль", "admin", "админ", "welcome", "letmein")
_ROWS = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn",
)
_RUN_CHARACTERS_MIN = 3

_match_name = re.compile(r"[\w.@+-]{1,64}").fullmatch


def read_name(text: str) -> str:
    """Read the name of a user. Raises ValueError, saying what would be right.

    It stands beside what he decides and in the trail. There is no space in it, so it can't look
    like "token crm", which is how a token is named there.
    """
    name = unicodedata.normalize("NFKC", text)
    if not _match_name(name):
        raise ValueError("must be 1 to 64 letters, digits and . _ - @ +, without spaces")
    return name


class Passwords:
    """Hashes and checks passwords. Each takes 19 MiB and some 30 ms, during which others run."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID
        )
        self._nobodys = self.hash(generate())

    def hash(self, password: str) -> str:
        """Give the only form of it that is kept: salted, and with the parameters in it."""
        return self._hasher.hash(_as_typed(password))

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one that is kept; the same work is done for nobody's."""
        try:
            self._hasher.verify(self._nobodys if kept is None else kept, _as_typed(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed with other parameters than these, and is to be hashed anew."""
        return self._hasher.check_needs_rehash(kept)


def generate() -> str:
    """Make a password that nobody guesses: 144 random bits in 24 characters."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def weakness(password: str, name: str) -> str | None:
    """Say why a password is refused for a user; None for a good one."""
    text = _as_typed(password)
    if len(text) < PASSWORD_CHARACTERS_MIN:
        return f"has fewer than {PASSWORD_CHARACTERS_MIN} characters"
    if not is_short_enough(password):
        return f"has more than {PASSWORD_BYTES_MAX} bytes"
    if len(set(text)) < DIFFERENT_MIN:
        return f"has fewer than {DIFFERENT_MIN} different characters"
    rest = text.casefold()
    for word in sorted((name.casefold(), name.casefold()[::-1], *_WORDS), key=len, reverse=True):
        rest = rest.replace(word, "")
    if len(_without_runs(rest)) < OTHER_CHARACTERS_MIN:
        return "is little more than the user's name, a common word, or keys that lie in a row"
    return None


def is_short_enough(password: str) -> bool:
    """Whether it can be a password at all; what is longer is not even hashed."""
    return len(_as_typed(password).encode("utf-8", "replace")) <= PASSWORD_BYTES_MAX


def _as_typed(password: str) -> str:
    """Give the same for the same keys on every system: й may be one character, or и with a sign."""
    return unicodedata.normalize("NFKC", password)


def _without_runs(text: str) -> str:
    """Leave out digits, letters and keys that follow one another, forward or backward."""
    rows = [*_ROWS, *(row[::-1] for row in _ROWS)]
    kept, at = "", 0
    while at < len(text):
        end = at + _RUN_CHARACTERS_MIN
        while end <= len(text) and any(text[at:end] in row for row in rows):
            end += 1
        if end > at + _RUN_CHARACTERS_MIN:
            at = end - 1
        else:
            kept += text[at]
            at += 1
    return kept
