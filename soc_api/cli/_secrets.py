"""Shows a new user's password and one-time code secret, once."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import click
import segno

if TYPE_CHECKING:
    from soc_api.accounts.service import NewUser


def show(user: NewUser) -> None:
    """Password, secret, address and QR code, on standard output; each label in both languages."""
    rows = [("Người dùng / user", user.username)]
    if user.password is not None:
        rows.append(("Mật khẩu / password", user.password))
    rows += [("Khóa mã một lần / OTP secret", user.totp_secret), ("Địa chỉ mã / OTP address", user.totp_uri)]
    width = max(len(label) for label, _ in rows) + 2
    for label, value in rows:
        click.echo(f"{label + ':':{width}}{value}")
    click.echo("\nQuét bằng ứng dụng xác thực / scan with an authenticator app:\n")
    click.echo(qr_code(user.totp_uri))
    click.echo("Chỉ hiện một lần, hãy ghi lại ngay / shown only once: note it now.")


def qr_code(text: str) -> str:
    """A QR code in half-block characters, for a terminal with a dark or a light ground."""
    out = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=out, compact=True, border=2)
    return out.getvalue()
