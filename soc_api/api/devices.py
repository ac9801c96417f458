"""Devices on the networks: what was seen, what it is, and who may be there without an agent."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field

from collector.registry import service as registry
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Number, Page, Paging, Shape, cursor
from soc_api.devices import deciding, listing

router = APIRouter(prefix="/devices", tags=["devices"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Decider = Annotated[Principal, Depends(require(Permission.DEVICES_APPROVE))]
Standing = Literal["unmanaged", "approved", "managed", "network", "gone"]
Kind = Literal["", "computer", "server", "network", "printer", "phone", "camera", "appliance"]


class DeviceShape(Shape):
    id: int
    agency_code: str
    agency: str
    mac: str
    ip: str = Field(description="Its IPv4 address where it has one; empty: none was seen.")
    name: str = Field(description="As the device says. Hostile text: encode it.")
    vendor: str
    locally_administered: bool = Field(description="The MAC was made up by software and may change.")
    kind: str
    switch: str
    port: str
    standing: Standing
    endpoint_id: str = Field(description="Of the endpoint whose card it is; empty: there is none.")
    hostname: str
    seen_by: str
    approved_until: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    simulated: bool


class AddressShape(Shape):
    ip: str
    first_seen_at: datetime
    last_seen_at: datetime


class ApprovalShape(Shape):
    id: int
    mac: str
    reason: str
    made_at: datetime
    made_by: str
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class WholeDevice(DeviceShape):
    names: list[str]
    how: list[str] = Field(description="Ways in which it was seen: `arp nd dhcp mdns netbios`.")
    vendor_class: str = Field(description="What it says of itself to DHCP servers.")
    addresses: list[AddressShape]
    approvals: list[ApprovalShape]
    alert_ids: list[int]


class NewApproval(Body):
    agency: str = Field(max_length=64, description="Its code.")
    mac: str = Field(max_length=64)
    reason: str = Field(min_length=1, max_length=deciding.MOST_REASON)
    expires_at: AwareDatetime = Field(description=f"At most {deciding.MOST_DAYS} days ahead.")


class NewKind(Body):
    kind: Kind = Field(description="Computers, servers and what is not said count as machines to protect.")


@router.get("")
def list_devices(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    agency: Annotated[str | None, Query(max_length=64, description="Only of this agency (its code).")] = None,
    standing: Standing | None = None,
    text: Annotated[
        str, Query(max_length=200, description="Part of a MAC, address, name, vendor, port.")
    ] = "",
    simulated: Annotated[bool, Query(description="Devices of simulated networks, too.")] = False,
) -> Page[DeviceShape]:
    """Those that came last first."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        which = None if agency is None else registry.get_agency(session, principal.scope, agency).id
        filters = listing.Filters(which, standing, None, text.strip(), None if simulated else False)
        found, total = listing.list_devices(
            session, principal.scope, filters, services.clock(), offset=start, limit=paging.limit
        )
    end = start + len(found)
    items = [DeviceShape.model_validate(each) for each in found]
    return Page(items=items, next=cursor(end) if end < total else None)


@router.get("/{device_id}")
def get_device(device_id: Number, services: RequestServices, principal: Reader) -> WholeDevice:
    """One device with its addresses, approvals and alerts."""
    with services.state.read() as session:
        found = listing.get_device(session, principal.scope, device_id, services.clock())
        return WholeDevice(
            **DeviceShape.model_validate(found.line).model_dump(),
            names=found.names,
            how=found.how,
            vendor_class=found.vendor_class,
            addresses=[AddressShape.model_validate(each) for each in found.addresses],
            approvals=[ApprovalShape.model_validate(each) for each in found.approvals],
            alert_ids=[each.id for each in found.alerts],
        )


@router.post("/approvals", status_code=201)
def approve(body: NewApproval, services: RequestServices, principal: Decider) -> ApprovalShape:
    """Let a card be on an agency's LAN without an agent until a time; it may be one that was not seen yet."""
    with services.state.write() as session:
        made = deciding.approve(
            session,
            principal,
            agency_code=body.agency,
            mac=body.mac,
            reason=body.reason,
            expires_at=body.expires_at,
            now=services.clock(),
        )
        return ApprovalShape.model_validate(made)


@router.delete("/approvals/{approval_id}")
def withdraw(approval_id: Number, services: RequestServices, principal: Decider) -> ApprovalShape:
    """End an approval before its time."""
    with services.state.write() as session:
        return ApprovalShape.model_validate(
            deciding.withdraw(session, principal, approval_id, services.clock())
        )


@router.put("/{device_id}/kind")
def set_kind(device_id: Number, body: NewKind, services: RequestServices, principal: Decider) -> DeviceShape:
    """Say what a device is."""
    with services.state.write() as session:
        deciding.set_kind(session, principal, device_id, body.kind, services.clock())
    with services.state.read() as session:
        found = listing.get_device(session, principal.scope, device_id, services.clock())
        return DeviceShape.model_validate(found.line)
