"""Sessions: a random value in a cookie, its SHA-256 and everything else on the server."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError

from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import User, UserSession
from soc_api.accounts import audit
from soc_api.accounts.permissions import PERMISSIONS, Role
from soc_api.accounts.principal import Principal

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session
    from starlette.responses import Response

    from collector.settings import Web
    from collector.state.database import StateStore
    from soc_api.services import Services

COOKIE: Final = "__Host-vonggac"
#: The time of last use is written at most this often, so that reading a page is not a write to the disk.
_TOUCH_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class NewSession:
    """``value`` is the cookie's: shown once, kept by nobody but the browser."""

    value: str
    csrf_token: str


def open_session(session: Session, user_id: int, address: str, user_agent: str, now: datetime) -> NewSession:
    made = NewSession(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    session.add(
        UserSession(
            token_sha256=_digest(made.value),
            user_id=user_id,
            csrf_token=made.csrf_token,
            created_at=now,
            last_used_at=now,
            address=address[:64],
            user_agent=user_agent[:255],
        )
    )
    return made


def find(state: StateStore, value: str, address: str, settings: Web, now: datetime) -> Principal | None:
    """Whose session ``value`` is; None where there is none, it has ended, or the user was disabled."""
    key = _digest(value)
    with state.read() as session:
        row = session.execute(
            select(User, UserSession)
            .join(User, User.id == UserSession.user_id)
            .where(UserSession.token_sha256 == key)
        ).first()
        if row is None:
            return None
        user, opened = row
    if user.disabled_at is not None or _has_ended(opened, settings, now):
        return None
    if now - opened.last_used_at >= timedelta(seconds=_TOUCH_SECONDS):
        touched = update(UserSession).where(UserSession.token_sha256 == key).values(last_used_at=now)
        # Where the store is too busy to note it now, the next request will.
        with suppress(OperationalError), state.write() as session:
            session.execute(touched)
    return principal_of(user, opened.csrf_token, address)


def principal_of(user: User, csrf_token: str, address: str) -> Principal:
    role = Role(user.role)
    if role is Role.OFFICER:
        scope = Scope(frozenset() if user.agency_id is None else frozenset({user.agency_id}))
    else:
        scope = EVERYTHING
    return Principal(
        user.id, user.username, role, user.agency_id, scope, PERMISSIONS[role], csrf_token, address
    )


def sign_out(services: Services, principal: Principal, value: str) -> None:
    """End the session whose cookie is ``value``, and note it."""
    now = services.clock()
    with services.state.write() as session:
        close_session(session, value)
        audit.record(
            session, now, principal.username, "session.close", principal.username, address=principal.address
        )


def close_session(session: Session, value: str) -> None:
    session.execute(delete(UserSession).where(UserSession.token_sha256 == _digest(value)))


def close_all(session: Session, user_id: int) -> None:
    session.execute(delete(UserSession).where(UserSession.user_id == user_id))


def forget_ended(session: Session, settings: Web, now: datetime) -> None:
    """Delete the rows of sessions that have ended; sign-in does it on its way."""
    session.execute(
        delete(UserSession).where(
            (UserSession.last_used_at <= now - timedelta(seconds=settings.session_idle_seconds))
            | (UserSession.created_at <= now - timedelta(seconds=settings.session_lifetime_seconds))
        )
    )


def set_cookie(response: Response, value: str) -> None:
    """``__Host-``: only over TLS, only this host, whole site (RFC 6265bis). Ends with the browser."""
    response.set_cookie(COOKIE, value, path="/", secure=True, httponly=True, samesite="strict")


def clear_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def _has_ended(opened: UserSession, settings: Web, now: datetime) -> bool:
    return (now - opened.last_used_at).total_seconds() >= settings.session_idle_seconds or (
        now - opened.created_at
    ).total_seconds() >= settings.session_lifetime_seconds


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
