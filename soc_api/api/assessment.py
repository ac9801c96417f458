"""Exceptions from checks of configuration assessment: granted for a time, with a reason, and ended."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Page, Paging, Shape, cursor
from soc_api.assessment import exceptions

router = APIRouter(prefix="/assessment/exceptions", tags=["assessment"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Excepter = Annotated[Principal, Depends(require(Permission.CHECKS_EXCEPT))]


class ExceptionShape(Shape):
    id: int
    set: str
    check: str
    agency_code: str = Field(description="Of the agency; of an endpoint's exception the endpoint's.")
    agency: str
    endpoint_id: str = Field(description="Empty: it is for the whole agency.")
    hostname: str
    reason: str
    made_at: datetime
    made_by: str
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str
    state: Literal["in_force", "expired", "ended"]


class NewException(Body):
    set: str = Field(max_length=64, description="`linux` or `windows`.")
    check: str = Field(max_length=64, description="The id of a shipped check.")
    agency: str = Field(
        default="", max_length=64, description="Code of an agency; or else give `endpoint_id`."
    )
    endpoint_id: str = Field(default="", max_length=64)
    reason: str = Field(min_length=1, max_length=exceptions.MOST_REASON)
    expires_at: AwareDatetime = Field(description=f"At most {exceptions.MOST_DAYS} days ahead.")


@router.get("")
def list_exceptions(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    past: Annotated[bool, Query(description="Also those that expired or were ended.")] = False,
) -> Page[ExceptionShape]:
    """The latest first."""
    with services.state.read() as session:
        found = exceptions.list_exceptions(
            session,
            principal.scope,
            services.clock(),
            past=past,
            after=paging.after_id(),
            limit=paging.limit + 1,
        )
    items = [ExceptionShape.model_validate(each) for each in found[: paging.limit]]
    return Page(items=items, next=cursor(items[-1].id) if len(found) > paging.limit else None)


@router.post("", status_code=201)
def grant_exception(body: NewException, services: RequestServices, principal: Excepter) -> ExceptionShape:
    """Hold a check not against an agency, or one endpoint, until a time. It counts as excepted, never as passed."""
    with services.state.write() as session:
        made = exceptions.grant(
            session,
            principal,
            (body.set, body.check),
            agency_code=body.agency,
            endpoint_id=body.endpoint_id,
            reason=body.reason,
            expires_at=body.expires_at,
            now=services.clock(),
        )
    return ExceptionShape.model_validate(made)


@router.post("/{exception_id}/end")
def end_exception(exception_id: Number, services: RequestServices, principal: Excepter) -> ExceptionShape:
    """The check counts again at once."""
    with services.state.write() as session:
        ended = exceptions.end(session, principal, exception_id, services.clock())
    return ExceptionShape.model_validate(ended)
