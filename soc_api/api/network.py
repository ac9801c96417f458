"""Network devices that probes ask over SNMP, and how an agency's are joined."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.network import service
from collector.network.service import Filters
from collector.registry import service as registry
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor

router = APIRouter(prefix="/network", tags=["network"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_COUNTED = {False: frozenset({False}), True: frozenset({False, True})}
Simulated = Annotated[bool, Query(description="Devices of simulated probes, too.")]


class NetworkDeviceShape(Shape):
    id: int
    endpoint_id: str = Field(description="The probe that asks it.")
    item: str = Field(description="Its name in the probe's settings.")
    address: str
    system_name: str = Field(description="As the device says. Hostile text: encode it.")
    kind: str
    vendor: str
    model: str
    serial_number: str
    firmware: str
    reachable: bool
    reason: str
    interfaces: int = Field(description="Those that nobody switched off.")
    interfaces_up: int
    changed_at: datetime


class NodeShape(Shape):
    id: str = Field(
        description="The device's number; `?` and a chassis, or `?hub:` and a number, where nobody asks it."
    )
    name: str
    kind: str
    up: bool | None
    machines: int


class EdgeShape(Shape):
    one: str
    other: str
    one_port: str
    other_port: str
    evidence: Literal["lldp_both", "lldp_one", "forwarding"]
    up: bool | None


class TopologyShape(Shape):
    nodes: list[NodeShape]
    edges: list[EdgeShape]
    cut: bool = Field(description="There are more links than these.")


@router.get("/devices")
def list_network_devices(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    agency: Annotated[str | None, Query(max_length=64, description="Only of this agency (its code).")] = None,
    reachable: bool | None = None,
    text: Annotated[str, Query(max_length=200, description="Part of a name, address, model…")] = "",
    simulated: Simulated = False,
) -> Page[NetworkDeviceShape]:
    """Those that do not answer first."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        which = None if agency is None else registry.get_agency(session, principal.scope, agency).id
        filters = Filters(which, reachable, "", text.strip(), _COUNTED[simulated])
        found, total = service.list_devices(
            session, principal.scope, filters, offset=start, limit=paging.limit
        )
        items = [NetworkDeviceShape.model_validate(row) for row, _ in found]
    end = start + len(items)
    return Page(items=items, next=cursor(end) if end < total else None)


@router.get("/map")
def get_map(
    services: RequestServices,
    principal: Reader,
    agency: Annotated[str, Query(max_length=64, description="Its code.")],
    simulated: Simulated = False,
) -> TopologyShape:
    """An agency's network devices and their links, with what each link is known by."""
    with services.state.read() as session:
        which = registry.get_agency(session, principal.scope, agency).id
        found = service.map_of(session, principal.scope, which, simulated=_COUNTED[simulated])
    return TopologyShape(
        nodes=[NodeShape.model_validate(each) for each in found.nodes],
        edges=[EdgeShape.model_validate(each) for each in found.edges],
        cut=found.cut,
    )
