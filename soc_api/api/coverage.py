"""The coverage ledger: who is protected, of how many, and the list behind every number."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.coverage.models import Ledger, Machine
from collector.coverage.service import ledger
from collector.registry import service as registry
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor
from soc_api.services import Services

router = APIRouter(prefix="/coverage", tags=["coverage"])
Reader = Annotated[Principal, Depends(require(Permission.COVERAGE_READ))]
State = Literal["protected", "outdated", "off", "none", "silent", "unmanaged", "unknown"]
AgencyCode = Annotated[str | None, Query(max_length=64, description="Only this agency (its code).")]
Simulated = Annotated[bool, Query(description="Count simulated machines, too.")]


class CountsShape(Shape):
    by_state: Mapping[str, int] = Field(description="Every counted machine is in exactly one state.")
    known: int = Field(description="All counted machines: the denominator.")
    managed: int
    protected: int
    percent_of_known: float | None = Field(description="Null where nothing is known. `unknown` never counts.")
    percent_of_managed: float | None
    percent_of_declared: float | None
    declared: int | None = Field(description="Declared officials.")
    late: int = Field(description="Signatures older than the local limit.")
    real_time_on: int
    network_equipment: int = Field(description="Listed, not counted.")


class AgencyLine(Shape):
    agency_id: int | None
    code: str
    name: str
    level: str
    officials: int | None
    counts: CountsShape


class LedgerShape(Shape):
    as_of: datetime
    national_days: int
    local_days: int
    include_simulated: bool
    agencies_total: int
    agencies_with_protection: int
    percent_of_agencies: float | None
    total: CountsShape
    agencies: list[AgencyLine]


class ReasonShape(Shape):
    code: str
    parameters: Mapping[str, str | int]


class MachineShape(Shape):
    id: str
    kind: str = Field(description="`endpoint` (id is its UUID) or `device` (seen on a LAN).")
    name: str
    agency_id: int | None
    agency_code: str
    state: State
    reason: ReasonShape
    counted: bool
    antivirus: str
    signature_time: datetime | None
    age_days: int | None
    late: bool
    real_time: str
    role: str
    mac: str
    ip: str
    last_seen: datetime | None
    simulated: bool
    evidence: list[str]


@router.get("")
def coverage(
    services: RequestServices, principal: Reader, agency: AgencyCode = None, simulated: Simulated = False
) -> LedgerShape:
    """The totals and one line for each agency that the caller reaches."""
    return LedgerShape.model_validate(_ledger(services, principal, agency, simulated))


@router.get("/machines")
def machines(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    agency: AgencyCode = None,
    simulated: Simulated = False,
    state: Annotated[list[State] | None, Query(description="Only these; may be repeated.")] = None,
) -> Page[MachineShape]:
    """The list behind the numbers: by agency, the worst state first, then by name."""
    found = _ledger(services, principal, agency, simulated).machines
    wanted: list[Machine] = [machine for machine in found if not state or machine.state in state]
    start = paging.after_id() or 0
    rows = wanted[start : start + paging.limit]
    end = start + len(rows)
    return Page(
        items=[MachineShape.model_validate(asdict(machine)) for machine in rows],
        next=cursor(end) if end < len(wanted) else None,
    )


def _ledger(services: Services, principal: Principal, code: str | None, simulated: bool) -> Ledger:
    with services.state.read() as session:
        agency_id = registry.get_agency(session, principal.scope, code).id if code else None
        return ledger(
            session,
            principal.scope,
            services.settings.coverage,
            services.clock(),
            agency_id=agency_id,
            include_simulated=simulated,
        )
