"""Signing in: password and one-time code together, one answer for whatever was wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from collector.state.tables import User
from soc_api.accounts import audit, sessions, totp
from soc_api.errors import SignInRefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from soc_api.accounts.sessions import NewSession
    from soc_api.services import Services

#: So many failures in a row are a slip; each further one doubles the lock, up to the longest.
SLIPS: Final = 5
FIRST_LOCK: Final = timedelta(seconds=30)
LONGEST_LOCK: Final = timedelta(minutes=15)

_REFUSAL: Final = (
    "user name, password or code is wrong, or the account is locked after too many tries: check them,"
    " wait for a new code, and try again"
)


def sign_in(
    services: Services,
    username: str,
    password: str,
    code: str,
    *,
    address: str,
    user_agent: str,
    previous: str | None = None,
) -> NewSession:
    """Open a session, and end the one whose cookie value is ``previous`` (rotation at sign-in).

    An unknown user, a wrong password, a used or wrong code and a locked account get the same answer after
    the same work. Slow on purpose (tens of milliseconds): call it from a worker thread, never from the event
    loop.

    Raises:
        TooManyTriesError: the address has failed too often.
        SignInRefusedError: anything else.
    """
    services.throttle.begin(address)
    username = username.strip()[:64]
    with services.state.read() as session:
        found = session.scalar(select(User).where(User.username == username))
    right = services.passwords.check(found.password_hash if found else None, password)
    fresh = (
        services.passwords.hash(password)
        if found and right and services.passwords.is_stale(found.password_hash)
        else None
    )

    now = services.clock()
    made: NewSession | None = None
    with services.state.write() as session:
        user = session.get(User, found.id) if found else None
        step = totp.matching_step(user.totp_secret if user else totp.NOBODY, code, now)
        reason = _refusal(user, found, right, step, now)
        if user is not None and reason is None and step is not None:
            user.totp_last_step = step
            user.failed_sign_ins = 0
            user.locked_until = None
            user.password_hash = fresh or user.password_hash
            if previous:
                sessions.close_session(session, previous)
            sessions.forget_ended(session, services.settings.web, now)
            made = sessions.open_session(session, user.id, address, user_agent, now)
            audit.record(session, now, user.username, "session.open", user.username, address=address)
        else:
            if user is not None and reason != "locked":
                _count_failure(user, now)
            audit.record(session, now, username, "session.refuse", username, address=address, reason=reason)
    if made is None:
        raise SignInRefusedError(_REFUSAL)
    services.throttle.succeeded(address)
    return made


def _refusal(
    user: User | None, found: User | None, right: bool, step: int | None, now: datetime
) -> str | None:
    """Why not, for the audit log only."""
    if user is None or found is None:
        return "unknown user"
    if user.disabled_at is not None:
        return "disabled"
    if user.locked_until is not None and user.locked_until > now:
        return "locked"
    if not right or user.password_hash != found.password_hash:
        return "password"
    if step is None:
        return "code"
    return "code used before" if step <= user.totp_last_step else None


def _count_failure(user: User, now: datetime) -> None:
    user.failed_sign_ins += 1
    if user.failed_sign_ins >= SLIPS:
        doublings = min(user.failed_sign_ins - SLIPS, 16)
        user.locked_until = now + min(FIRST_LOCK * 2**doublings, LONGEST_LOCK)
