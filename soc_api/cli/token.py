"""``vonggac token``: one-time rights to enrol a machine."""

from __future__ import annotations

from datetime import timedelta

import click

from collector.registry import service as registry
from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from soc_api.cli._place import Place, actor, as_json, echo_json, shown_time, table, with_place
from soc_api.tokens import service


@click.group(name="token", short_help="one-time rights to enrol a machine")
def group() -> None:
    """Make, list and revoke enrolment tokens.

    \b
    Example:
      vonggac token create --agency so-y-te --count 20
    """


@group.command()
@click.option("--agency", required=True, help="The code of the agency that the machine will belong to.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many.")
@click.option(
    "--hours", type=click.IntRange(1, 2160), help="How long they can be used [setting: ingest.token_hours]."
)
@as_json
@with_place
def create(place: Place, agency: str, count: int, hours: int | None, as_json: bool) -> None:
    """Make tokens, each good for one machine, and print them once, one a line.

    \b
    Example:
      vonggac token create --agency so-y-te
    """
    place.demand()
    now = utcnow()
    lifetime = timedelta(hours=hours or place.settings.ingest.token_hours)
    digest = service.authority_digest(place.data.ca)
    with place.state() as state, state.write() as session:
        made = service.create_tokens(
            session,
            registry.get_agency(session, EVERYTHING, agency),
            count=count,
            lifetime=lifetime,
            simulated=False,
            actor=actor(),
            now=now,
            ca_sha256=digest,
        )
    if as_json:
        echo_json({"token": made[0], "tokens": made, "expires_at": now + lifetime})
        return
    for token in made:
        click.echo(token)
    click.echo(
        f"good until {shown_time(now + lifetime)}; on the machine:"
        f" vonggac-agent enroll --collector https://SERVER:{place.settings.ingest.port} --token TOKEN",
        err=True,
    )


@group.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also those that were used, revoked or have expired.")
@as_json
@with_place
def list_tokens(place: Place, everything: bool, as_json: bool) -> None:
    """Tokens that can still be used; never their secrets.

    \b
    Example:
      vonggac token list --all
    """
    with place.state() as state, state.read() as session:
        codes = {agency.id: agency.code for agency in registry.list_agencies(session, EVERYTHING)}
        rows = [
            {
                "id": token.id,
                "agency": codes.get(token.agency_id),
                "created_by": token.created_by,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "used_at": token.used_at,
                "used_by": token.used_by,
                "simulated": token.simulated,
            }
            for token in service.list_tokens(session, EVERYTHING, now=utcnow(), usable_only=not everything)
        ]
    if as_json:
        echo_json(rows)
        return
    head = ("ID", "AGENCY", "BY", "CREATED", "EXPIRES", "USED", "ENDPOINT", "SIMULATED")
    table(head, [list(row.values()) for row in rows], "none: `vonggac token create --agency CODE`")


@group.command()
@click.argument("token_id", metavar="ID")
@with_place
def revoke(place: Place, token_id: str) -> None:
    """The token with this ID (16 hex digits, the second part of its text) cannot be used any more.

    \b
    Example:
      vonggac token revoke 0123456789abcdef
    """
    with place.state() as state, state.write() as session:
        service.revoke_token(session, EVERYTHING, token_id, actor=actor(), now=utcnow())
    click.echo(f"token {token_id} is revoked")
