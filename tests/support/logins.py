"""People who log in to the console, without a browser."""

import re
from http.cookies import SimpleCookie
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession

from ostatok.passwords import Passwords
from ostatok.settings import Settings
from ostatok_db.trail import Trailed
from ostatok_db.users import Role, Users
from support.pages import start
from support.webhooks import Serve

PASSWORD = "остывший чай и трамвай"
ON = {"http_authentication": True, "http_operators": False}

_find_csrf = re.compile(r'name="csrf" value="([^"]+)"').search


class Page(NamedTuple):
    """What was answered."""

    status: int
    text: str
    headers: Any

    @property
    def csrf(self) -> str:
        """The token of its forms."""
        found = _find_csrf(self.text)
        assert found, self.text
        return found[1]


class Visitor:
    """A browser: keeps cookies, and says of a form that it is of this site."""

    def __init__(self, client: ClientSession, **headers: str) -> None:
        self._client = client
        self.headers = headers
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []
        """The cookies as the last answer set them."""

    async def get(self, path: str, **headers: str) -> Page:
        """Ask for a page; follows no redirect."""
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, form: Any, **headers: str) -> Page:
        """Post a form as a page of this site does."""
        return await self._ask("POST", path, form, {"Sec-Fetch-Site": "same-origin", **headers})

    async def log_in(self, name: str = "anna", password: str = PASSWORD, **form: str) -> Page:
        """Fill in the form."""
        return await self.post("/login/", {"name": name, "password": password, **form})

    async def log_out(self, **form: str) -> Page:
        """Press the button of the page about sessions."""
        csrf = (await self.get("/sessions/")).csrf
        return await self.post("/logout/", {"csrf": csrf, **form})

    async def is_in(self) -> bool:
        """Whether a page is shown."""
        page = await self.get("/sessions/")
        assert page.status in {200, 303}
        return page.status == 200

    async def _ask(self, method: str, path: str, form: Any, headers: dict[str, str]) -> Page:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {**self.headers, **headers, **({"Cookie": cookie} if cookie else {})}
        async with self._client.request(
            method, "/console" + path, data=form, headers=given, allow_redirects=False
        ) as answer:
            self.set = answer.headers.getall("Set-Cookie", [])
            for name, morsel in SimpleCookie("; ".join(self.set)).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
            return Page(answer.status, await answer.text(), answer.headers)


def users_of(settings: Settings) -> Users:
    """Open the users as a command does."""
    return Users.connect(settings)


def done(what: str) -> Trailed:
    """What a command leaves in the trail."""
    return Trailed("done", f"user {what}", "root", "desk", "anna")


def make_user(
    settings: Settings, name: str = "anna", role: Role = Role.OPERATOR, password: str = PASSWORD
) -> None:
    """Make a user."""
    users = users_of(settings)
    users.create(name, role, Passwords().hash(password), done("create"))
    users.close()


@pytest.fixture
async def client(serve: Serve, database: Settings) -> ClientSession:
    """Give a client of a console that asks for a login, and has one user."""
    make_user(database)
    return await start(serve, database, **ON)


@pytest.fixture
def visitor(client: ClientSession) -> Visitor:
    """Give a browser that nobody is logged in by."""
    return Visitor(client)
