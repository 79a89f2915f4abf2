"""How often somebody may guess at a password.

Each guess is counted for the name at the address it comes from, for the address, and for the name.
From the limit on, each next one at that place has to wait twice as long, up to a quarter of an
hour; an hour without a guess begins anew. Nothing counts for a name alone so that it would be
locked: whoever guesses elsewhere never keeps the user out. While very many guess at a name,
from wherever, each address has one guess at it in a quarter of an hour, and the user's is as
good as any.

A browser in which the user has logged in before shows that by a cookie, and is counted by itself:
nothing that others do from the same address, or at the same name, makes it wait.
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies)
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import NamedTuple

from ostatok.errors import TooManyRequests
from ostatok_db.logins import Account, Failures, Tally
from ostatok_http.doors.clients import household_of

AT_PLACE_MAX = 5
"""Guesses at one name from one address before the next has to wait."""

AT_BROWSER_MAX = 10
"""Guesses in a browser that is known; who types is most likely the user."""

AT_ADDRESS_MAX = 50
"""Guesses from one address, at whatever name: a whole office may come from one."""

AT_NAME_MAX = 200
"""Guesses at one name, from wherever, from which on each address has one."""

WAIT_SECONDS_MAX = 900.0

MARK_CHARACTERS_MAX = 200


class Guess(NamedTuple):
    """By what a guess is counted."""

    place: bytes
    address: bytes | None
    """None for a known browser, and so is the name."""
    name: bytes | None

    @property
    def keys(self) -> list[bytes]:
        """All of them that there are."""
        return [key for key in self if key is not None]


class Throttle:
    """Counts guesses, and refuses those that come too soon."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures

    async def count(self, guess: Guess) -> None:
        """Count a guess, before it is looked at.

        Raises :class:`TooManyRequests` when it comes too soon; then it is not counted.
        """

        def judge(tallies: Mapping[bytes, Tally]) -> dict[bytes, float]:
            return _judge(guess, tallies)

        await self._failures.count(guess.keys, judge)

    async def was_right(self, guess: Guess) -> None:
        """Forget what was counted at this place: it was the user who mistyped."""
        await self._failures.forget([guess.place])
        await self._failures.take_back(guess.keys)

    async def was_none(self, guess: Guess) -> None:
        """Take a guess back that nobody could look at."""
        await self._failures.take_back(guess.keys)


def guess_of(name: str, client: str, account: Account | None, mark: str) -> Guess:
    """Say by what a guess at a name is counted, from an address, in a browser with a mark."""
    if account is not None and is_known(account, mark):
        return Guess(_key("browser", name, mark), None, None)
    network = household_of(client)
    return Guess(_key("place", name, network), _key("address", network), _key("name", name))


def new_mark(account: Account) -> str:
    """Make the mark of a browser in which a user has logged in.

    It is good until his password is changed, and proves nothing else: nobody is let in by it.
    """
    number = secrets.token_urlsafe(16)
    return f"{number}.{_sign(account, number)}"


def is_known(account: Account, mark: str) -> bool:
    """Whether a browser has a mark of this user's."""
    if len(mark) > MARK_CHARACTERS_MAX or not mark.isascii():
        return False
    number, _, signed = mark.partition(".")
    return hmac.compare_digest(_sign(account, number), signed)


def _sign(account: Account, number: str) -> str:
    # The hash of his password is known to nobody outside either, and changes with it.
    said = f"browser\0{account.id}\0{number}".encode()
    signed = hmac.digest(account.password_hash.encode(), said, hashlib.sha256)
    return urlsafe_b64encode(signed).rstrip(b"=").decode()


def _key(*parts: str) -> bytes:
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _judge(guess: Guess, tallies: Mapping[bytes, Tally]) -> dict[bytes, float]:
    """Say how long the next one has to wait for each key. Raises :class:`TooManyRequests`."""
    waits = [tallies[key].wait_seconds for key in (guess.place, guess.address) if key]
    if (wait := max(waits)) > 0:
        raise TooManyRequests("Too many guesses at a password.", after_seconds=wait)
    is_hunted = guess.name is not None and tallies[guess.name].failures >= AT_NAME_MAX
    most = AT_PLACE_MAX if guess.name is not None else AT_BROWSER_MAX
    after = _wait(tallies[guess.place].failures + 1, most)
    waiting = {guess.place: WAIT_SECONDS_MAX if is_hunted else after}
    if guess.address is not None:
        waiting[guess.address] = _wait(tallies[guess.address].failures + 1, AT_ADDRESS_MAX)
    if guess.name is not None:
        waiting[guess.name] = 0.0
    return waiting


def _wait(failures: int, most: int) -> float:
    """One second after the last of those that are free, then twice as long each time."""
    if failures < most:
        return 0.0
    return min(WAIT_SECONDS_MAX, 2.0 ** min(failures - most, 30))
