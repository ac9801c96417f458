"""Firewalls of agencies, and what is known of each."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.firewalls.service import Known, list_firewalls
from collector.registry import service as registry
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Shape
from soc_api.firewalls import service

router = APIRouter(tags=["firewalls"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.FIREWALLS_MANAGE))]
Value = Literal["yes", "no", "unknown"]


class AnswerShape(Shape):
    value: Value
    reason: str = Field(description="A code.")
    fact: str = Field(description="What it is known from: a day, a version.")


class FirewallShape(Shape):
    id: int | None = Field(description="`null` where nobody has declared it and only a probe tells of it.")
    name: str
    address: str
    vendor: str = Field(description="As the device says, like what follows. Hostile text: encode it.")
    product: str
    version: str
    model: str
    serial_number: str
    endpoint_id: str | None = Field(description="The probe that asks it.")
    answers: dict[str, AnswerShape] = Field(description="`answering configuration logging supported`.")
    support_until: date | None = Field(
        description="As a person says; `null`: as the table of releases has it."
    )
    note: str


class AgencyFirewallsShape(Shape):
    agency: str
    name: str
    verdict: Value = Field(description="`yes`: it has one, and every answer about each is yes.")
    firewalls: list[FirewallShape]


class Declaration(Body):
    agency: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=64)]
    address: Annotated[str, Field(max_length=64)]
    note: Annotated[str, Field(max_length=4000)] = ""


class Change(Body):
    support_until: date | None = None
    note: Annotated[str, Field(max_length=4000)] = ""


class Reason(Body):
    reason: Annotated[str, Field(max_length=4000)]


class Made(Shape):
    id: int


@router.get("/firewalls")
def firewalls(
    services: RequestServices,
    principal: Reader,
    agency: Annotated[str | None, Query(max_length=64, description="Only of this agency (its code).")] = None,
) -> list[AgencyFirewallsShape]:
    """Every agency within reach with its firewalls; one without any is there, too."""
    with services.state.read() as session:
        agency_id = registry.get_agency(session, principal.scope, agency).id if agency else None
        found = list_firewalls(session, principal.scope, services.clock(), agency_id=agency_id)
        return [
            AgencyFirewallsShape(
                agency=each.agency.code,
                name=each.agency.name,
                verdict=each.verdict,
                firewalls=[_shape(known) for known in each.firewalls],
            )
            for each in found
        ]


@router.post("/firewalls", status_code=201)
def declare(services: RequestServices, principal: Manager, body: Declaration) -> Made:
    """Say that an agency has this firewall."""
    with services.state.write() as session:
        row = service.declare(
            session,
            principal,
            agency_code=body.agency,
            name=body.name,
            address=body.address,
            note=body.note,
            now=services.clock(),
        )
        return Made(id=row.id)


@router.put("/firewalls/{firewall_id}", status_code=204)
def change(services: RequestServices, principal: Manager, firewall_id: Number, body: Change) -> None:
    """Say until when its maker supports it, and what else is to know."""
    with services.state.write() as session:
        service.change(
            session,
            principal,
            firewall_id,
            support_until=body.support_until,
            note=body.note,
            now=services.clock(),
        )


@router.post("/firewalls/{firewall_id}/retire", status_code=204)
def retire(services: RequestServices, principal: Manager, firewall_id: Number, body: Reason) -> None:
    """The agency has it no more."""
    with services.state.write() as session:
        service.retire(session, principal, firewall_id, body.reason, services.clock())


def _shape(known: Known) -> FirewallShape:
    return FirewallShape.model_validate(known)
