"""How often somebody may guess at a password, and whom that never keeps out."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.services import Rows

from ostatok.errors import TooManyRequests
from ostatok.settings import Settings
from ostatok_db import logins
from ostatok_db.logins import Account, Failures
from ostatok_db.pool import WritePool
from ostatok_http.doors import throttle as throttle_module
from ostatok_http.doors.throttle import (
    AT_ADDRESS_MAX,
    AT_BROWSER_MAX,
    AT_PLACE_MAX,
    WAIT_SECONDS_MAX,
    Throttle,
    guess_of,
    is_known,
    new_mark,
)

ANNA = Account(1, "anna", "viewer", "$argon2id$of-anna", disabled=False)
HERE, THERE = "192.0.2.1", "198.51.100.7"
PASS = (
    "UPDATE ostatok_service.login_failure SET last_at = last_at - interval '{0} seconds',"
    " next_at = next_at - interval '{0} seconds' RETURNING 1"
)


@pytest.fixture
async def throttle(database: Settings) -> AsyncIterator[Throttle]:
    """Give one that counts in ``database``."""
    pool = WritePool(database)
    yield Throttle(Failures(pool))
    await pool.close()


async def waits(throttle: Throttle, client: str, name: str = "anna", mark: str = "") -> float:
    """Guess once; give for how long one has to wait instead, 0 when it was counted."""
    account = ANNA if name == "anna" else None
    try:
        await throttle.count(guess_of(name, client, account, mark))
    except TooManyRequests as error:
        return error.after_seconds
    return 0


async def test_guesses_at_a_place_wait_longer_each_time(throttle: Throttle, rows: Rows) -> None:
    """The first few are free; then one second, two, four, up to a quarter of an hour."""
    for _ in range(AT_PLACE_MAX):
        assert await waits(throttle, HERE) == 0
    expected = 1.0
    for _ in range(12):
        waited = await waits(throttle, HERE)
        assert expected - 1 < waited <= expected
        rows(PASS.format(expected))
        assert await waits(throttle, HERE) == 0
        expected = min(WAIT_SECONDS_MAX, 2 * expected)
    assert expected == WAIT_SECONDS_MAX
    rows(PASS.format(3_601))
    for _ in range(AT_PLACE_MAX):
        assert await waits(throttle, HERE) == 0
    assert await waits(throttle, HERE) > 0


async def test_one_who_waits_does_not_wait_longer_for_asking(throttle: Throttle) -> None:
    """What is refused is not counted."""
    for _ in range(AT_PLACE_MAX):
        await waits(throttle, HERE)
    assert all([0 < await waits(throttle, HERE) <= 1 for _ in range(10)])


async def test_many_at_once_are_counted_one_by_one(throttle: Throttle) -> None:
    """None passes because none of the others has failed yet."""
    found = await asyncio.gather(*[waits(throttle, HERE) for _ in range(5 * AT_PLACE_MAX)])
    assert found.count(0) == AT_PLACE_MAX


async def test_who_guesses_elsewhere_keeps_nobody_out(throttle: Throttle) -> None:
    """Neither another name at the same address, nor the same name at another one."""
    for _ in range(2 * AT_PLACE_MAX):
        await waits(throttle, HERE)
    assert await waits(throttle, THERE) == 0
    assert await waits(throttle, HERE, "boris") == 0


async def test_an_address_has_a_limit_over_all_names(throttle: Throttle) -> None:
    """Also for names that nobody has."""
    for number in range(AT_ADDRESS_MAX):
        assert await waits(throttle, HERE, f"name-{number}") == 0
    assert await waits(throttle, HERE, "one-more") > 0
    assert await waits(throttle, THERE, "one-more") == 0


async def test_a_hunted_name_is_open_to_each_address_once(
    throttle: Throttle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many guess from wherever: the user gets in at his first try from a new place."""
    monkeypatch.setattr(throttle_module, "AT_NAME_MAX", 20)
    for number in range(20):
        assert await waits(throttle, f"10.0.0.{number}") == 0
    for client in (HERE, THERE):
        assert await waits(throttle, client) == 0
        assert await waits(throttle, client) > WAIT_SECONDS_MAX - 10


async def test_a_known_browser_waits_for_nobody(
    throttle: Throttle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that others do matters to it; it has a limit of its own."""
    monkeypatch.setattr(throttle_module, "AT_NAME_MAX", 20)
    for number in range(30):
        await waits(throttle, f"10.0.0.{number}")
    for number in range(AT_ADDRESS_MAX + 1):
        await waits(throttle, HERE, f"name-{number}")
    assert await waits(throttle, HERE) > 0
    mark = new_mark(ANNA)
    for _ in range(AT_BROWSER_MAX):
        assert await waits(throttle, HERE, mark=mark) == 0
    assert await waits(throttle, HERE, mark=mark) > 0
    assert await waits(throttle, HERE, mark=new_mark(ANNA)) == 0


def test_a_mark_is_of_one_user_and_of_one_password() -> None:
    """Nobody else makes one, and it ends with the password."""
    mark = new_mark(ANNA)
    assert is_known(ANNA, mark)
    changed = Account(1, "anna", "viewer", "$argon2id$another", disabled=False)
    other = Account(2, "boris", "viewer", ANNA.password_hash, disabled=False)
    number, _, signed = mark.partition(".")
    for account, forged in (
        (changed, mark),
        (other, mark),
        (ANNA, f"x{number}.{signed}"),
        (ANNA, f"{number}."),
        (ANNA, ""),
        (ANNA, "é." + signed),
        (ANNA, mark + "x" * 1_000),
    ):
        assert not is_known(account, forged)


async def test_a_right_one_is_no_guess(throttle: Throttle, rows: Rows) -> None:
    """What was mistyped before is forgotten at this place; others' guesses are not."""
    for _ in range(AT_PLACE_MAX - 1):
        await waits(throttle, HERE)
    guess = guess_of("anna", HERE, ANNA, "")
    await throttle.count(guess)
    await throttle.was_right(guess)
    for _ in range(AT_PLACE_MAX):
        assert await waits(throttle, HERE) == 0
    assert await waits(throttle, HERE) > 0
    (most,) = rows("SELECT max(failures) FROM ostatok_service.login_failure")
    assert most == (2 * AT_PLACE_MAX - 1,)  # At the address, and at the name.


async def test_what_could_not_be_looked_at_is_taken_back(throttle: Throttle) -> None:
    """Who was turned away for want of room has used up none of his guesses."""
    for _ in range(3 * AT_PLACE_MAX):
        guess = guess_of("anna", HERE, ANNA, "")
        await throttle.count(guess)
        await throttle.was_none(guess)


async def test_counts_are_few_however_many_guess(
    throttle: Throttle, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go, and so do those of long ago."""
    monkeypatch.setattr(logins, "DROP_EACH", 10)
    monkeypatch.setattr(logins, "FAILURES_MAX", 30)
    for number in range(60):
        await waits(throttle, f"10.0.1.{number}", f"name-{number}")
    ((kept,),) = rows("SELECT count(*) FROM ostatok_service.login_failure")
    assert kept == 30
    rows(PASS.format(3_601))
    for _ in range(10):
        await waits(throttle, HERE, mark=new_mark(ANNA))
    assert rows("SELECT count(*) FROM ostatok_service.login_failure") == [(10,)]
