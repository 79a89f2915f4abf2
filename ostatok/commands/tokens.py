"""The commands about API tokens: make one, see which there are, end one."""

import platform
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostatok.commands.options import as_text, echo_all, me, moment, of_up, settings_of

if TYPE_CHECKING:
    from ostatok_db.tokens import Token, TokenSession

NAME_CHARACTERS_MAX = 50
DAYS_MAX = 3_650

_match_days = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII).fullmatch


@click.group()
def token() -> None:
    """Make and end the tokens by which the API knows its readers and operators.

    The API asks for one where OSTATOK_HTTP_AUTHENTICATION is true.
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="What it allows: balance:read, history:read, operator. May be repeated.",
)
@click.option("--inn", "inns", multiple=True, help="Only about this INN. May be repeated.")
@click.option("--expires", help="When it ends: 90d, or a date. [default: never]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@of_up
def create(  # noqa: PLR0913  # one for each option
    *,
    name: str,
    scopes: tuple[str, ...],
    inns: tuple[str, ...],
    expires: str | None,
    as_json: bool,
    data: Path | None,
) -> None:
    """Make a token named NAME, and print it. It is shown this once, and kept nowhere.

    NAME says in decisions and in the trail who it was: "token NAME".
    """
    from ostatok.api_token import hash_of, make  # noqa: PLC0415
    from ostatok_db.tokens import Token  # noqa: PLC0415

    _check(name, scopes, inns)
    new = make()
    made = Token(
        new.id,
        name,
        sorted(set(scopes)),
        sorted(set(inns)) or None,
        datetime.now(UTC),
        me(),
        _end(expires),
        None,
        None,
    )
    with _opened(data) as tokens:
        tokens.create(made, hash_of(new.text), host=platform.node())
    if as_json:
        click.echo(as_text({"token": new.text, "id": new.id, "name": name}))
        return
    click.echo(new.text)
    click.echo(f"It is shown this once. To end it: ostatok token revoke {new.id}", err=True)


@token.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were revoked or expired.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@of_up
def list_(*, everything: bool, as_json: bool, data: Path | None) -> None:
    """List the tokens that work: who has which, what it allows, and when it was last used."""
    with _opened(data) as tokens:
        found = tokens.find(everything=everything)
    echo_all(found, _line, f"{len(found)} tokens.", as_json=as_json)


@token.command()
@click.argument("token_id", metavar="ID")
@of_up
def revoke(*, token_id: str, data: Path | None) -> None:
    """End the token of this ID: no http process takes it any more within three seconds."""
    from ostatok.api_token import is_id  # noqa: PLC0415

    if not is_id(token_id):
        raise click.BadParameter("must be 12 digits 0-9 a-f, as `ostatok token list` has them")
    with _opened(data) as tokens:
        name = tokens.revoke(token_id, by=me(), host=platform.node())
    click.echo(f"The token {token_id} ({name}) is revoked.")


@contextmanager
def _opened(data: Path | None) -> Iterator["TokenSession"]:
    from ostatok_db.tokens import TokenSession  # noqa: PLC0415

    with closing(TokenSession.connect(settings_of(data))) as session:
        yield session


def _check(name: str, scopes: tuple[str, ...], inns: tuple[str, ...]) -> None:
    from ostatok.payment import is_inn  # noqa: PLC0415
    from ostatok_db.tokens import INNS_MAX  # noqa: PLC0415
    from ostatok_http.doors.identity import OPERATOR, SCOPES  # noqa: PLC0415

    if not 1 <= len(name) <= NAME_CHARACTERS_MAX or name != name.strip() or not name.isprintable():
        what = f"must be 1 to {NAME_CHARACTERS_MAX} characters that can be printed"
        raise click.BadParameter(what, param_hint="NAME")
    for scope in scopes:
        if scope not in SCOPES:
            what = f"{scope} is none; there are: {', '.join(SCOPES)}"
            raise click.BadParameter(what, param_hint="--scope")
    for inn in inns:
        if not is_inn(inn):
            raise click.BadParameter(f"{inn} is no INN", param_hint="--inn")
    if len(set(inns)) > INNS_MAX:
        raise click.BadParameter(f"may be given {INNS_MAX:,} times", param_hint="--inn")
    if inns and OPERATOR in scopes:
        what = "can't be given with --scope operator: a dead letter belongs to no INN"
        raise click.BadParameter(what, param_hint="--inn")


def _end(text: str | None) -> datetime | None:
    found = _match_days(text or "")
    if found is None:
        end = moment("--expires", text)
    elif int(found[1]) > DAYS_MAX:
        raise click.BadParameter(f"must be {DAYS_MAX}d at the most", param_hint="--expires")
    else:
        end = datetime.now(UTC) + timedelta(days=int(found[1]))
    if end is not None and end <= datetime.now(UTC):
        raise click.BadParameter("must be in the future", param_hint="--expires")
    return end


def _line(one: "Token") -> str:
    said = [f"made {one.created_at:%Y-%m-%d} by {one.created_by}"]
    if one.revoked_at is not None:
        said.append(f"revoked {one.revoked_at:%Y-%m-%d %H:%M}Z")
    elif one.expires_at is not None:
        past = "d" if one.expires_at <= datetime.now(UTC) else "s"
        said.append(f"expire{past} {one.expires_at:%Y-%m-%d %H:%M}Z")
    used = one.last_used_at
    said.append("never used" if used is None else f"used {used:%Y-%m-%d %H:%M}Z")
    inns = "" if one.inns is None else f", {len(one.inns)} INNs"
    return f"{one.id}  {one.name}: {', '.join(one.scopes)}{inns}; {'; '.join(said)}"
