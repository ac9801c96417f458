"""User accounts: make, list, disable, reset. Every change is in the audit log with the change itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from collector.errors import ConflictError, NotFoundError
from collector.state.tables import Agency, User
from soc_api.accounts import audit, sessions, totp
from soc_api.accounts.passwords import make_password, refuse_weak
from soc_api.accounts.permissions import Role
from soc_api.errors import Fault, InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from soc_api.accounts.passwords import Passwords
    from soc_api.accounts.principal import Principal
    from soc_api.services import Services

_USERNAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,31}")


@dataclass(frozen=True, slots=True)
class NewUser:
    """What the user must be told once. ``password`` is None where somebody chose it."""

    id: int
    username: str
    password: str | None
    totp_secret: str
    totp_uri: str


def create_user(
    session: Session,
    passwords: Passwords,
    username: str,
    role: Role,
    *,
    agency_id: int | None = None,
    password: str | None = None,
    actor: str,
    address: str = "",
    now: datetime,
) -> NewUser:
    """Make a user in the caller's write transaction; without ``password`` a random one is made.

    Raises:
        InvalidError: a bad user name, a weak password, an officer without an agency or another role with one.
        ConflictError: the name is taken.
    """
    if not _USERNAME.fullmatch(username):
        raise InvalidError(Fault("username", "2 to 32 of a-z 0-9 . _ - and a letter first"))
    if (role is Role.OFFICER) != (agency_id is not None):
        raise InvalidError(Fault("agency", "an officer belongs to one agency; other roles to none"))
    if agency_id is not None and session.get(Agency, agency_id) is None:
        raise InvalidError(Fault("agency", "no such agency"))
    if session.scalar(select(User.id).where(User.username == username)) is not None:
        raise ConflictError(f"there is already a user {username!r}: choose another name, or reset that one")
    if password is not None:
        refuse_weak(password, username)
    made = None if password is not None else make_password()
    secret = totp.make_secret()
    user = User(
        username=username,
        password_hash=passwords.hash(password or made or ""),
        totp_secret=secret,
        totp_last_step=0,
        role=role.value,
        agency_id=agency_id,
        created_at=now,
        failed_sign_ins=0,
    )
    session.add(user)
    session.flush()
    audit.record(
        session, now, actor, "user.create", username, address=address, role=role.value, agency_id=agency_id
    )
    return NewUser(user.id, username, made, secret, totp.uri(secret, username))


def has_administrator(session: Session) -> bool:
    """True where somebody with the role ``admin`` can sign in."""
    return (
        session.scalar(select(User.id).where(User.role == Role.ADMIN.value, User.disabled_at.is_(None)))
        is not None
    )


def list_users(session: Session, *, after: str = "", limit: int | None = None) -> Sequence[User]:
    """By name, those beyond ``after``."""
    query = select(User).where(User.username > after).order_by(User.username)
    return session.scalars(query.limit(limit)).all()


def get_user(session: Session, username: str) -> User:
    user = session.scalar(select(User).where(User.username == username))
    if user is None:
        raise NotFoundError(f"there is no user {username!r}: `vonggac user list` shows them")
    return user


def disable_user(session: Session, username: str, *, actor: str, address: str = "", now: datetime) -> User:
    """Nobody can sign in as ``username`` any more, and whoever is signed in is out with the next request.

    Raises:
        ConflictError: it is the last administrator.
    """
    user = get_user(session, username)
    if user.disabled_at is None:
        others = select(func.count()).where(
            User.role == Role.ADMIN.value, User.disabled_at.is_(None), User.id != user.id
        )
        if user.role == Role.ADMIN.value and session.scalar(others) == 0:
            raise ConflictError(f"{username!r} is the last administrator: make another one first")
        user.disabled_at = now
        sessions.close_all(session, user.id)
        audit.record(session, now, actor, "user.disable", username, address=address)
    return user


def reset_user(
    session: Session,
    passwords: Passwords,
    username: str,
    *,
    password: str | None = None,
    actor: str,
    address: str = "",
    now: datetime,
) -> NewUser:
    """New password and new OTP secret; unlocks and enables; ends all sessions."""
    user = get_user(session, username)
    if password is not None:
        refuse_weak(password, username)
    made = None if password is not None else make_password()
    user.password_hash = passwords.hash(password or made or "")
    user.totp_secret = totp.make_secret()
    user.totp_last_step = 0
    user.failed_sign_ins = 0
    user.locked_until = None
    user.disabled_at = None
    sessions.close_all(session, user.id)
    audit.record(session, now, actor, "user.reset", username, address=address)
    return NewUser(user.id, username, made, user.totp_secret, totp.uri(user.totp_secret, username))


def change_password(services: Services, principal: Principal, old: str, new: str) -> None:
    """The user's own change. Ends all of the user's sessions, the present one too.

    Raises:
        InvalidError: the old password is wrong, or the new one weak.
        TooManyTriesError: the old password was guessed at.
    """
    services.throttle.begin(principal.address)
    with services.state.read() as session:
        known = session.get_one(User, principal.user_id).password_hash
    right = services.passwords.check(known, old)
    if right:
        services.throttle.succeeded(principal.address)
        refuse_weak(new, principal.username)
    fresh = services.passwords.hash(new) if right else ""
    action = "user.password_change" if right else "user.password_refuse"
    with services.state.write() as session:
        if right:
            session.get_one(User, principal.user_id).password_hash = fresh
            sessions.close_all(session, principal.user_id)
        audit.record(
            session,
            services.clock(),
            principal.username,
            action,
            principal.username,
            address=principal.address,
        )
    if not right:
        raise InvalidError(Fault("old_password", "is not right"))
