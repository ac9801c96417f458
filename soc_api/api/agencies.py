"""The registry of agencies."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.registry import files
from collector.registry import service as registry
from soc_api import actions
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Shape

router = APIRouter(prefix="/agencies", tags=["agencies"])
Reader = Annotated[Principal, Depends(require(Permission.AGENCIES_READ))]
Manager = Annotated[Principal, Depends(require(Permission.AGENCIES_MANAGE))]


class AgencyShape(Shape):
    id: int
    code: str = Field(description="Our own permanent short name.")
    name: str
    level: str = Field(description="`tinh` province, `huyen` district (until 30/6/2025), `xa` commune.")
    officials: int | None = Field(description="The declared head-count; null: none declared.")
    organ_id: str | None
    valid_from: date | None
    valid_to: date | None


class Import(Body):
    csv: str = Field(
        max_length=2_000_000,
        description=f"A CSV file with a header of {', '.join(files.COLUMNS)} (the last four may be missing).",
        examples=["code,name,level,officials\nso-y-te,Sở Y tế,tinh,50\n"],
    )


class ImportShape(Shape):
    created: int
    changed: int
    unchanged: int


@router.get("")
def list_agencies(
    services: RequestServices,
    principal: Reader,
    text: Annotated[
        str, Query(max_length=200, description="Part of a present or former name, or a code.")
    ] = "",
) -> list[AgencyShape]:
    """All that the caller reaches, in the order of the registry."""
    with services.state.read() as session:
        if text:
            found = registry.find_agencies(session, principal.scope, text)
        else:
            found = registry.list_agencies(session, principal.scope)
    return [AgencyShape.model_validate(agency) for agency in found]


@router.get("/{code}")
def get_agency(code: str, services: RequestServices, principal: Reader) -> AgencyShape:
    """One by its code."""
    with services.state.read() as session:
        return AgencyShape.model_validate(registry.get_agency(session, principal.scope, code))


@router.post("/import")
def import_agencies(body: Import, services: RequestServices, principal: Manager) -> ImportShape:
    """Bring the registry to what the file says, by code; agencies it does not name stay. All or nothing."""
    rows = files.parse_agencies(body.csv)
    with services.state.write() as session:
        result = actions.import_agencies(session, principal, rows, services.clock())
    return ImportShape.model_validate(result)
