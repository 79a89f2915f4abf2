"""The commands about the console's users: who may log in, and as what."""

import platform
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostatok.commands.options import echo_all, me, of_up, settings_of
from ostatok.errors import OstatokError

if TYPE_CHECKING:
    from ostatok.settings import Settings
    from ostatok_db.trail import Trailed
    from ostatok_db.users import User, Users

Command = Callable[..., Any]

ROLES = ("viewer", "operator")

_role = click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="viewer sees everything and decides nothing; operator decides, too.",
)
_generate = click.option(
    "--generate", is_flag=True, help="Make a password and print it, once, instead of asking."
)
_name = click.argument("name", metavar="NAME")


@click.group()
def user() -> None:
    """Say who may log in to the console. It asks for a login with OSTATOK_HTTP_AUTHENTICATION."""


@user.command()
@_name
@_role
@_generate
@of_up
def create(*, name: str, role: str, generate: bool, data: Path | None) -> None:
    """Make a user who may log in. The password is asked for twice, and not shown."""
    from ostatok_db.users import Role  # noqa: PLC0415

    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        password_hash, say = _new_password(name, generate=generate)
        users.create(name, Role(role), password_hash, _done("create", f"{name} {role}"))
    click.echo(f"{name} may log in as {role}.")
    say()


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@of_up
def list_(*, as_json: bool, data: Path | None) -> None:
    """List the users, and in how many browsers each is logged in."""
    settings = settings_of(data)
    with _opened(settings) as users:
        found = users.find_all(settings)
    echo_all(found, _line, f"{len(found)} users.", as_json=as_json)


@user.command()
@_name
@_generate
@of_up
def password(*, name: str, generate: bool, data: Path | None) -> None:
    """Give a user another password, and log him out everywhere."""
    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        password_hash, say = _new_password(name, generate=generate)
        users.set_password(name, password_hash, _done("password", name))
    click.echo(f"{name} has another password, and is logged out everywhere.")
    say()


@user.command()
@_name
@_role
@of_up
def role(*, name: str, role: str, data: Path | None) -> None:
    """Give a user another role, at once also where he is logged in."""
    from ostatok_db.users import Role  # noqa: PLC0415

    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        users.set_role(name, Role(role), _done("role", f"{name} {role}"))
    click.echo(f"{name} is {role}.")


@user.command()
@_name
@of_up
def disable(*, name: str, data: Path | None) -> None:
    """Let a user log in no more, and log him out everywhere. What he decided stays his."""
    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        users.disable(name, _done("disable", name))
    click.echo(f"{name} can't log in any more, and is logged out everywhere.")


@user.command()
@_name
@of_up
def enable(*, name: str, data: Path | None) -> None:
    """Let a user log in again, by the password he had."""
    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        users.enable(name, _done("enable", name))
    click.echo(f"{name} may log in again.")


@user.command()
@_name
@of_up
def logout(*, name: str, data: Path | None) -> None:
    """Log a user out everywhere."""
    name = _read_name(name)
    with _opened(settings_of(data)) as users:
        ended = users.end_sessions(name, _done("logout", name))
    click.echo(f"{name} is logged out: {_sessions(ended)} ended.")


@contextmanager
def _opened(settings: "Settings") -> Iterator["Users"]:
    from ostatok_db.users import Users  # noqa: PLC0415

    with closing(Users.connect(settings)) as users:
        yield users


def _read_name(text: str) -> str:
    from ostatok.passwords import read_name  # noqa: PLC0415

    try:
        return read_name(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None


def _new_password(name: str, *, generate: bool) -> tuple[str, Callable[[], None]]:
    """Give what is kept of a new password, and what prints it when nobody knows it yet."""
    from ostatok import passwords  # noqa: PLC0415

    if generate:
        made = passwords.generate()
        return passwords.Passwords().hash(made), lambda: click.echo(f"Password, shown once: {made}")
    typed = _ask_password(name)
    if (reason := passwords.weakness(typed, name)) is not None:
        raise OstatokError(
            f"The password {reason}.",
            hint="Several words that nobody else would put together are a good one; "
            "--generate makes one.",
        )
    return passwords.Passwords().hash(typed), lambda: None


def _ask_password(name: str) -> str:
    # Never an argument: those of a process are seen by every other one.
    try:
        typed: str = click.prompt(
            f"Password of {name}", hide_input=True, confirmation_prompt="The same again", err=True
        )
    except click.Abort as error:
        # Ctrl-C aborts too, and is left alone: that somebody is there to ask.
        if not isinstance(error.__context__, EOFError):
            raise
        raise OstatokError(
            "There is nobody to ask for the password: standard input is at its end.",
            hint="--generate makes one.",
        ) from None
    return typed


def _done(what: str, about: str) -> "Trailed":
    from ostatok_db.trail import Trailed  # noqa: PLC0415

    return Trailed("done", f"user {what}", me(), platform.node(), about)


def _line(one: "User") -> str:
    state = f"disabled {one.disabled_at:%Y-%m-%d}" if one.disabled_at else _sessions(one.sessions)
    return (
        f"{one.name:20}  {one.role:8}  {state:20}  made {one.created_at:%Y-%m-%d} "
        f"by {one.created_by}, password of {one.password_at:%Y-%m-%d}"
    )


def _sessions(many: int) -> str:
    return f"{many} session{'' if many == 1 else 's'}"
