"""Shows a new user's password and one-time code secret, once."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import click
import segno

if TYPE_CHECKING:
    from soc_api.accounts.service import NewUser


def show(user: NewUser) -> None:
    """Password, secret, address and QR code, on standard output."""
    click.echo(f"user:        {user.username}")
    if user.password is not None:
        click.echo(f"password:    {user.password}")
    click.echo(f"OTP secret:  {user.totp_secret}")
    click.echo(f"OTP address: {user.totp_uri}")
    click.echo("\nScan with an authenticator app:\n")
    click.echo(qr_code(user.totp_uri))
    click.echo("These are shown once and kept nowhere: note them now.")


def qr_code(text: str) -> str:
    """A QR code in half-block characters, for a terminal with a dark or a light ground."""
    out = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=out, compact=True, border=2)
    return out.getvalue()
