"""The audit log, read only."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from soc_api.accounts import audit
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor

router = APIRouter(prefix="/audit", tags=["audit"])
Auditor = Annotated[Principal, Depends(require(Permission.AUDIT_READ))]


class AuditShape(Shape):
    id: int
    at: datetime
    actor: str
    action: str
    target: str
    address: str
    detail: dict[str, Any]
    digest: str = Field(description="SHA-256 over this entry and the digest of the one before.")


class VerificationShape(Shape):
    entries: int
    head: str = Field(description="The last digest that fits: note it elsewhere to prove the end.")
    broken_at: int | None
    contains: bool


@router.get("")
def list_entries(
    services: RequestServices,
    principal: Auditor,  # noqa: ARG001 - the permission
    paging: Paging,
    actor: Annotated[str | None, Query(max_length=64)] = None,
    action: Annotated[
        str | None, Query(max_length=64, description="Whole, or the part before the dot.")
    ] = None,
) -> Page[AuditShape]:
    """The newest first."""
    with services.state.read() as session:
        found = audit.entries(
            session, before=paging.after_id(), actor=actor, action=action, limit=paging.limit + 1
        )
    items = [AuditShape.model_validate(row) for row in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].id) if len(found) > paging.limit else None)


@router.get("/verification")
def verify(
    services: RequestServices,
    principal: Auditor,  # noqa: ARG001 - the permission
    contains: Annotated[
        str | None, Query(pattern="^[0-9a-f]{64}$", description="A head noted earlier.")
    ] = None,
) -> VerificationShape:
    """Check the whole chain."""
    with services.state.read() as session:
        return VerificationShape.model_validate(audit.verify(session, contains))
