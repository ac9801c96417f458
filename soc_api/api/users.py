"""User accounts (administrators only)."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from soc_api.accounts import service
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission, Role
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Page, Paging, Shape, cursor

router = APIRouter(prefix="/users", tags=["users"])
Manager = Annotated[Principal, Depends(require(Permission.USERS_MANAGE))]


class UserShape(Shape):
    username: str
    role: Role
    agency_id: int | None
    created_at: datetime
    disabled_at: datetime | None
    locked_until: datetime | None


class NewUser(Body):
    username: str = Field(max_length=32, description="2 to 32 of a-z 0-9 . _ - and a letter first.")
    role: Role
    agency_id: Number | None = Field(
        default=None, description="Needed for an officer, refused for the others."
    )


class Secrets(Shape):
    """Told once, kept by nobody."""

    username: str
    password: str | None
    totp_secret: str
    totp_uri: str = Field(description="For an authenticator app (as a QR code).")


@router.get("")
def list_users(
    services: RequestServices,
    principal: Manager,  # noqa: ARG001 - the permission
    paging: Paging,
) -> Page[UserShape]:
    """Everybody, by name."""
    after = paging.after_text() if paging.after else ""
    with services.state.read() as session:
        found = service.list_users(session, after=after, limit=paging.limit + 1)
    items = [UserShape.model_validate(user) for user in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].username) if len(found) > paging.limit else None)


@router.post("", status_code=201)
def create_user(body: NewUser, services: RequestServices, principal: Manager) -> Secrets:
    """Make a user with a random password; the answer is the only time that the secrets are seen."""
    with services.state.write() as session:
        made = service.create_user(
            session,
            services.passwords,
            body.username,
            body.role,
            agency_id=body.agency_id,
            actor=principal.username,
            address=principal.address,
            now=services.clock(),
        )
    return Secrets.model_validate(made)


@router.post("/{username}/disable")
def disable_user(username: str, services: RequestServices, principal: Manager) -> UserShape:
    """The user is out with the next request. The last administrator cannot be disabled."""
    with services.state.write() as session:
        user = service.disable_user(
            session, username, actor=principal.username, address=principal.address, now=services.clock()
        )
    return UserShape.model_validate(user)


@router.post("/{username}/reset")
def reset_user(username: str, services: RequestServices, principal: Manager) -> Secrets:
    """New password and new one-time code secret; unlocks, enables, and ends all sessions."""
    with services.state.write() as session:
        made = service.reset_user(
            session,
            services.passwords,
            username,
            actor=principal.username,
            address=principal.address,
            now=services.clock(),
        )
    return Secrets.model_validate(made)
