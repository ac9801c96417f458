"""``vonggac user``: who may sign in."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from collector.registry import service as registry
from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from soc_api.accounts import service
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.permissions import Role
from soc_api.cli import _secrets
from soc_api.cli._place import Place, actor, as_json, echo_json, table, with_place

_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of making one."
)


@click.group(name="user", short_help="who may sign in")
def group() -> None:
    """Make, list, disable and reset users.

    \b
    Example:
      vonggac user create minh.anh --role officer --agency so-y-te
    """


@group.command()
@click.argument("username")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--agency", help="The agency's code: needed for an officer, refused for the others.")
@_password_stdin
@as_json
@with_place
def create(
    place: Place, username: str, role: str, agency: str | None, password_stdin: bool, as_json: bool
) -> None:
    """Make a user; print password and one-time code secret (with a QR code) once.

    \b
    Example:
      vonggac user create minh.anh --role analyst
    """
    password = _read_password() if password_stdin else None
    with place.state() as state, state.write() as session:
        agency_id = registry.get_agency(session, EVERYTHING, agency).id if agency else None
        made = service.create_user(
            session,
            Passwords(),
            username,
            Role(role),
            agency_id=agency_id,
            password=password,
            actor=actor(),
            now=utcnow(),
        )
    _tell(made, as_json)


@group.command(name="list")
@as_json
@with_place
def list_users(place: Place, as_json: bool) -> None:
    """Everybody, by name.

    \b
    Example:
      vonggac user list --json
    """
    with place.state() as state, state.read() as session:
        codes = {agency.id: agency.code for agency in registry.list_agencies(session, EVERYTHING)}
        rows = [
            {
                "username": user.username,
                "role": user.role,
                "agency": codes.get(user.agency_id or 0),
                "created_at": user.created_at,
                "disabled_at": user.disabled_at,
                "locked_until": user.locked_until,
            }
            for user in service.list_users(session)
        ]
    if as_json:
        echo_json(rows)
    else:
        head = ("USER", "ROLE", "AGENCY", "CREATED", "DISABLED", "LOCKED UNTIL")
        table(
            head, [list(row.values()) for row in rows], "nobody yet: `vonggac user create NAME --role admin`"
        )


@group.command()
@click.argument("username")
@with_place
def disable(place: Place, username: str) -> None:
    """The user cannot sign in any more, and is out with the next request.

    \b
    Example:
      vonggac user disable minh.anh
    """
    with place.state() as state, state.write() as session:
        service.disable_user(session, username, actor=actor(), now=utcnow())
    click.echo(f"{username} is disabled; `vonggac user reset {username}` lets the user in again")


@group.command()
@click.argument("username")
@_password_stdin
@as_json
@with_place
def reset(place: Place, username: str, password_stdin: bool, as_json: bool) -> None:
    """New password and new one-time code secret; unlocks and enables; ends all sessions.

    \b
    Example:
      vonggac user reset minh.anh
    """
    password = _read_password() if password_stdin else None
    with place.state() as state, state.write() as session:
        made = service.reset_user(
            session, Passwords(), username, password=password, actor=actor(), now=utcnow()
        )
    _tell(made, as_json)


def _tell(made: service.NewUser, as_json: bool) -> None:
    if as_json:
        echo_json(asdict(made))
    else:
        _secrets.show(made)


def _read_password() -> str:
    """The first line of standard input; asked for twice, unseen, where that is a terminal."""
    if sys.stdin.isatty():
        answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return answer
    return sys.stdin.readline().rstrip("\r\n")
