"""Recognising tokens in memory: what was known stands for a minute, and memory is bounded."""

from collections.abc import Mapping

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from support.tokens import bearer

from ostatok import api_token
from ostatok.errors import LedgerUnavailable, NotAuthenticated
from ostatok_db.tokens import Allowed, Loaded
from ostatok_http.doors import tokens as tokens_module
from ostatok_http.doors.identity import BALANCE_READ, IDENTITY
from ostatok_http.doors.tokens import TRUSTED_SECONDS_MAX, USE_SECONDS, Tokens

TOKEN = api_token.make()
ALLOWED = Allowed(
    TOKEN.id, "crm", api_token.hash_of(TOKEN.text), frozenset({BALANCE_READ}), None, None
)


class Store:
    """Tokens that the test changes, in a database that goes away when it says so."""

    def __init__(self) -> None:
        self.tokens = [ALLOWED]
        self.is_away = self.takes_no_writes = False
        self.used: list[Mapping[str, float]] = []

    async def load(self, known: str) -> Loaded:
        """Give them."""
        if self.is_away:
            raise LedgerUnavailable
        digest = ",".join(one.id for one in self.tokens)
        return Loaded(digest, None if digest == known else self.tokens)

    async def note_use(self, used: Mapping[str, float]) -> None:
        """Note it, unless the database takes no writes."""
        if self.takes_no_writes:
            raise LedgerUnavailable
        self.used.append(used)


class Clock:
    """Goes on when the test says so."""

    seconds = 1_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.seconds


def who(tokens: Tokens, **headers: str) -> str:
    """Say who asks, with these headers."""
    return tokens.identify(make_mocked_request("GET", "/", headers=headers)).name


async def test_what_was_known_stands_for_a_minute_and_no_longer() -> None:
    """With the database away; then nobody is let in until it is back, whoever was before."""
    store, clock = Store(), Clock()
    tokens = Tokens(store, clock)
    with pytest.raises(LedgerUnavailable):
        who(tokens, **bearer(TOKEN))
    await tokens.look()
    assert who(tokens, **bearer(TOKEN)) == "token crm"
    store.is_away = True
    for seconds, is_known in ((TRUSTED_SECONDS_MAX, True), (0.1, False)):
        clock.seconds += seconds
        with pytest.raises(LedgerUnavailable):
            await tokens.look()
        if is_known:
            assert who(tokens, **bearer(TOKEN)) == "token crm"
    with pytest.raises(LedgerUnavailable):
        who(tokens, **bearer(TOKEN))
    store.is_away = False
    await tokens.look()
    assert who(tokens, **bearer(TOKEN)) == "token crm"


async def test_who_is_let_in_does_not_depend_on_noting_it() -> None:
    """Where nothing can be written, who is known is let in, and nothing is noted."""
    store, clock = Store(), Clock()
    store.takes_no_writes = True
    tokens = Tokens(store, clock)
    for _ in range(3):
        await tokens.look()
        assert who(tokens, **bearer(TOKEN)) == "token crm"
        clock.seconds += TRUSTED_SECONDS_MAX
    assert store.used == []


async def test_a_revoked_token_is_forgotten_also_where_it_was_seen() -> None:
    """The next look is enough, and an unchanged set of tokens is not read again."""
    store = Store()
    tokens = Tokens(store)
    await tokens.look()
    assert who(tokens, **bearer(TOKEN)) == "token crm"
    store.tokens = []
    await tokens.look()
    with pytest.raises(NotAuthenticated):
        who(tokens, **bearer(TOKEN))


async def test_only_the_whole_token_opens() -> None:
    """Not one with its id and another secret, nor any other scheme or text, of any bytes."""
    tokens = Tokens(Store())
    await tokens.look()
    text = TOKEN.text
    wrong = [
        f"ost_{TOKEN.id}_{api_token.make().text[17:]}",
        *(text[:-1], text + "A", text.upper(), text.replace("_", "-"), f"{text} {text}"),
        TOKEN.id,
        "",
    ]
    for one in wrong:
        with pytest.raises(NotAuthenticated):
            who(tokens, Authorization=f"Bearer {one}")
    for one in ("\udcff", f"{text}\udcff"):  # What was no UTF-8 comes like that.
        with pytest.raises(NotAuthenticated):
            tokens._find(f"Bearer {one}")
    for scheme in ("Basic", "", "Bearerx", "Token"):
        with pytest.raises(NotAuthenticated):
            who(tokens, Authorization=f"{scheme} {text}")
    for scheme in ("bearer", "BEARER", "Bearer  "):
        assert who(tokens, Authorization=f"{scheme} {text}") == "token crm"


async def test_a_token_ends_on_the_moment() -> None:
    """Also when the database is away, and where it was seen before."""
    store, wall = Store(), Clock()
    store.tokens = [msgspec.structs.replace(ALLOWED, expires_at=1_010.0)]
    tokens = Tokens(store, wall_clock=wall)
    await tokens.look()
    wall.seconds = 1_009.9
    assert who(tokens, **bearer(TOKEN)) == "token crm"
    wall.seconds = 1_010.0
    with pytest.raises(NotAuthenticated):
        who(tokens, **bearer(TOKEN))


async def test_who_asked_is_on_the_request() -> None:
    """The trail names him, whatever is refused later."""
    tokens = Tokens(Store())
    await tokens.look()
    request = make_mocked_request("GET", "/", headers=bearer(TOKEN))
    assert tokens.identify(request) is request[IDENTITY]


async def test_headers_that_were_seen_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ways there are to write one, and however many tokens nobody has are tried."""
    monkeypatch.setattr(tokens_module, "SEEN_MAX", 10)
    tokens = Tokens(Store())
    await tokens.look()
    for spaces in range(1, 200):
        assert who(tokens, Authorization=f"Bearer{' ' * spaces}{TOKEN.text}") == "token crm"
        with pytest.raises(NotAuthenticated):
            who(tokens, **bearer(api_token.make()))
        assert len(tokens._seen) <= 10
        assert all(len(one) <= 100 for one in tokens._seen)


async def test_the_last_use_is_kept_once_a_minute() -> None:
    """However often a token is used, its row is written once in a minute."""
    store, wall = Store(), Clock()
    tokens = Tokens(store, wall_clock=wall)
    await tokens.look()
    for _ in range(3):
        who(tokens, **bearer(TOKEN))
        await tokens.look()
        wall.seconds += USE_SECONDS / 4
    assert store.used == [{TOKEN.id: 1_000.0}]
    wall.seconds += USE_SECONDS / 2
    who(tokens, **bearer(TOKEN))
    await tokens.look()
    assert store.used[1:] == [{TOKEN.id: 1_075.0}]


def test_tokens_are_of_the_form_that_scanners_look_for() -> None:
    """With 256 random bits, and none like another."""
    made = [api_token.make() for _ in range(100)]
    assert len({one.text for one in made}) == 100
    for one in made:
        assert api_token.id_of(one.text) == one.id
        assert len(one.text.partition(f"ost_{one.id}_")[2]) == 43
