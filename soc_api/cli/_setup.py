"""What a first start needs beside ``collector.bootstrap``: somebody who can sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.state.base import utcnow
from soc_api.accounts.passwords import Passwords
from soc_api.accounts.permissions import Role
from soc_api.accounts.service import create_user, has_administrator

if TYPE_CHECKING:
    from collector.state.database import StateStore
    from soc_api.accounts.service import NewUser


def first_administrator(state: StateStore, username: str = "admin") -> NewUser | None:
    """Make an administrator where there is none who can sign in; None where there is one."""
    with state.write() as session:
        if has_administrator(session):
            return None
        return create_user(session, Passwords(), username, Role.ADMIN, actor="setup", now=utcnow())
