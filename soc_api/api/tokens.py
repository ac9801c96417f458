"""Enrolment tokens: one-time rights to bring a machine in."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.registry import service as registry
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Page, Paging, Shape, cursor
from soc_api.errors import Fault, InvalidError
from soc_api.tokens import service

router = APIRouter(prefix="/tokens", tags=["tokens"])
Maker = Annotated[Principal, Depends(require(Permission.TOKENS_CREATE))]


class NewTokens(Body):
    agency: str = Field(max_length=64, description="The agency's code.")
    count: int = Field(default=1, ge=1, le=500)
    hours: int | None = Field(default=None, ge=1, le=24 * 90, description="Usually the setting's.")


class MadeTokens(Shape):
    tokens: list[str] = Field(description="Shown once: only a hash of each secret is kept.")
    expires_at: datetime


class TokenShape(Shape):
    id: str
    agency_id: int
    simulated: bool
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    used_by: str | None = Field(description="The endpoint that it became.")


@router.post("", status_code=201)
def create_tokens(body: NewTokens, services: RequestServices, principal: Maker) -> MadeTokens:
    """Tokens for one agency; each enrols one machine, once."""
    now = services.clock()
    lifetime = timedelta(hours=body.hours or services.settings.ingest.token_hours)
    digest = service.authority_digest(services.data.ca)
    with services.state.write() as session:
        made = service.create_tokens(
            session,
            registry.get_agency(session, principal.scope, body.agency),
            count=body.count,
            lifetime=lifetime,
            simulated=False,
            actor=principal.username,
            address=principal.address,
            now=now,
            ca_sha256=digest,
        )
    return MadeTokens(tokens=made, expires_at=now + lifetime)


@router.get("")
def list_tokens(
    services: RequestServices,
    principal: Maker,
    paging: Paging,
    usable: Annotated[bool, Query(description="Only those that can still be used.")] = True,
) -> Page[TokenShape]:
    """The newest first; never their secrets."""
    with services.state.read() as session:
        found = service.list_tokens(
            session,
            principal.scope,
            now=services.clock(),
            usable_only=usable,
            after=_position(paging),
            limit=paging.limit + 1,
        )
    items = [TokenShape.model_validate(token) for token in found[: paging.limit]]
    more = len(found) > paging.limit
    return Page(
        items=items, next=cursor(f"{items[-1].created_at.isoformat()} {items[-1].id}") if more else None
    )


@router.delete("/{token_id}")
def revoke_token(token_id: str, services: RequestServices, principal: Maker) -> TokenShape:
    """It cannot be used any more. 409 where it was used already."""
    with services.state.write() as session:
        token = service.revoke_token(
            session,
            principal.scope,
            token_id,
            actor=principal.username,
            address=principal.address,
            now=services.clock(),
        )
    return TokenShape.model_validate(token)


def _position(paging: Paging) -> service.Position | None:
    if not paging.after:
        return None
    moment, _, token_id = paging.after_text().partition(" ")
    with suppress(ValueError):
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is not None:
            return service.Position(created_at, token_id)
    raise InvalidError(Fault("query.after", "not a cursor of this list"))
