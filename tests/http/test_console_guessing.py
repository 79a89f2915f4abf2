"""Guessing at passwords through the console's login."""

import asyncio
from threading import Event, Lock

import argon2
import pytest
from aiohttp import ClientSession
from support.logins import ON, PASSWORD, Visitor, make_user
from support.pages import start
from support.services import Rows
from support.system import wait_until
from support.webhooks import Serve

from ostatok.passwords import Passwords
from ostatok.settings import Settings
from ostatok_http.console import login as login_module
from ostatok_http.doors.throttle import AT_PLACE_MAX

CLIENT = "X-Forwarded-For"


class Counting:
    """Counts what is done with argon2, and how much of it at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.verified = 0
        self.at_once = 0
        self.at_once_most = 0
        self.may_end = Event()
        self.may_end.set()
        self._lock = Lock()
        self._verify = argon2.PasswordHasher.verify
        counting = self

        def verify(hasher: argon2.PasswordHasher, kept: str, password: str) -> bool:
            return counting.verify(hasher, kept, password)

        monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)

    def verify(self, hasher: argon2.PasswordHasher, kept: str, password: str) -> bool:
        """Do it, and count."""
        with self._lock:
            self.verified += 1
            self.at_once += 1
            self.at_once_most = max(self.at_once_most, self.at_once)
        try:
            assert self.may_end.wait(20)
            return self._verify(hasher, kept, password)
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
async def client(
    serve: Serve, database: Settings, monkeypatch: pytest.MonkeyPatch
) -> ClientSession:
    """Give a client of a console behind a proxy, which says who asks; a slow machine is let be."""
    monkeypatch.setattr(login_module, "CHECK_SECONDS_MAX", 20.0)
    make_user(database)
    return await start(serve, database, http_trusted_proxies="127.0.0.1", **ON)


def at(client: ClientSession, address: str) -> Visitor:
    """Give a browser at an address."""
    return Visitor(client, **{CLIENT: address})


async def test_a_name_that_nobody_has_costs_the_same_work(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One password is hashed for each, with the same parameters: time tells nothing."""
    counting = Counting(monkeypatch)
    for name, status in (("anna", 401), ("nobody", 401), ("anna", 401), ("никто", 401)):
        before = counting.verified
        assert (await at(client, "10.0.0.1").log_in(name, "a wrong one of his")).status == status
        assert counting.verified == before + 1
    keeper = Passwords()
    dummy = argon2.extract_parameters(keeper._nobodys)
    assert dummy == argon2.extract_parameters(keeper.hash(PASSWORD))


async def test_the_next_guess_has_to_wait(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page says how long, and so does Retry-After; nothing is even looked at."""
    counting = Counting(monkeypatch)
    guesser = at(client, "10.0.0.1")
    for _ in range(AT_PLACE_MAX):
        assert (await guesser.log_in(password="a wrong one of his")).status == 401
    page = await guesser.log_in()
    assert (page.status, page.headers["Retry-After"]) == (429, "1")
    assert "Too many tries" in page.text
    assert counting.verified == AT_PLACE_MAX


async def test_the_user_gets_in_whoever_guesses(client: ClientSession) -> None:
    """From another address; and from the same one with the browser he used before."""
    user = at(client, "10.0.0.1")
    await user.log_in()
    await user.log_out()
    guesser = at(client, "10.0.0.1")
    for _ in range(AT_PLACE_MAX):
        await guesser.log_in(password="a wrong one of his")
    assert (await guesser.log_in()).status == 429
    assert (await at(client, "10.0.0.2").log_in()).status == 303
    assert (await user.log_in()).status == 303


async def test_who_asks_cant_choose_what_is_counted_for_him(
    serve: Serve, database: Settings
) -> None:
    """An address that he says himself, and a browser's mark that he made, change nothing."""
    make_user(database)
    client = await start(serve, database, **ON)
    for number in range(AT_PLACE_MAX):
        guesser = at(client, f"10.0.0.{number}")
        guesser.cookies["ostatok_browser"] = f"{number}.{'A' * 43}"
        assert (await guesser.log_in(password="a wrong one of his")).status == 401
    assert (await at(client, "10.0.0.99").log_in()).status == 429


async def test_processes_count_together(serve: Serve, database: Settings) -> None:
    """Whoever guesses at another process of the service has no more guesses for it."""
    make_user(database)
    clients = [await start(serve, database, **ON) for _ in range(2)]
    for number in range(AT_PLACE_MAX):
        visitor = Visitor(clients[number % 2])
        assert (await visitor.log_in(password="a wrong one of his")).status == 401
    assert [(await Visitor(one).log_in()).status for one in clients] == [429, 429]


async def test_few_passwords_are_hashed_at_once(
    client: ClientSession, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a flood one after another, past a limit 503, and no known browser waits for them."""
    user = at(client, "10.0.1.1")
    await user.log_in()
    counting = Counting(monkeypatch)
    counting.may_end.clear()
    flood = [
        asyncio.create_task(at(client, f"10.0.0.{number}").log_in("nobody", "a wrong one of his"))
        for number in range(login_module.WAITING_MAX + 5)
    ]
    done, waiting = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 5:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert {one.result().status for one in done} == {503}
    assert counting.at_once == 1
    known = asyncio.create_task(user.log_in())
    await asyncio.to_thread(wait_until, lambda: counting.at_once == 2, "it is looked at")
    counting.may_end.set()
    assert (await known).status == 303
    assert [one.status for one in await asyncio.gather(*waiting)] == [401] * len(waiting)
    assert counting.at_once_most <= 2
    counted = "SELECT max(failures) FROM ostatok_service.login_failure"
    assert rows(counted) == [(login_module.WAITING_MAX,)]


async def test_one_address_cant_take_all_logins(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever floods has ten in hand at once, at whatever names; another address is served."""
    counting = Counting(monkeypatch)
    counting.may_end.clear()
    most = login_module.OF_HOUSEHOLD_MAX
    flood = [
        asyncio.create_task(at(client, f"2001:db8::{number}").log_in(f"nobody{number}", PASSWORD))
        for number in range(2 * login_module.IN_HAND_MAX)
    ]
    while sum(one.done() for one in flood) < len(flood) - most:
        await asyncio.wait(
            [one for one in flood if not one.done()], return_when=asyncio.FIRST_COMPLETED
        )
    refused = [one.result() for one in flood if one.done()]
    assert {(page.status, page.headers["Retry-After"]) for page in refused} == {(429, "1")}
    other = asyncio.create_task(at(client, "2001:db8:0:1::1").log_in())
    counting.may_end.set()
    assert (await other).status == 303
    served = [one.status for one in await asyncio.gather(*flood)]
    assert (served.count(401), served.count(429)) == (most, len(flood) - most)


async def test_a_password_is_hashed_anew_with_better_parameters(
    client: ClientSession, rows: Rows
) -> None:
    """When its user logs in; the browser is known by the new one."""
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    kept = "SELECT password_hash FROM ostatok_service.console_user"
    rows("UPDATE ostatok_service.console_user SET password_hash = %s RETURNING 1", weaker)
    user = at(client, "10.0.0.1")
    assert (await user.log_in(password="a wrong one of his")).status == 401
    assert rows(kept) == [(weaker,)]
    assert (await user.log_in()).status == 303
    ((better,),) = rows(kept)
    assert argon2.extract_parameters(better).memory_cost == 19_456
    await user.log_out()
    for _ in range(AT_PLACE_MAX):
        await at(client, "10.0.0.1").log_in(password="a wrong one of his")
    assert (await user.log_in()).status == 303
