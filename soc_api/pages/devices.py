"""Devices on the networks: which are managed, which are approved, and what is to be done with the others."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.devices.kinds import KINDS, UNCOUNTED
from collector.errors import CollectorError
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Number
from soc_api.devices import deciding, listing
from soc_api.devices.deciding import MOST_DAYS
from soc_api.devices.listing import DeviceLine, Filters
from soc_api.errors import SocError
from soc_api.i18n import N_, Translator
from soc_api.pages.forms import end_of_day
from soc_api.pages.probe_lan_words import KINDS as KIND_WORDS
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import AlertRow, Choice, alert_row, choices
from soc_api.pages.visit import Visit, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Decider = Annotated[Principal, Depends(require(Permission.DEVICES_APPROVE))]
_ROWS = 50

_TODO = {
    "computer": N_("Install the agent on it."),
    "server": N_("Install the agent on it."),
    "known": N_("Approve it for a time, or unplug it."),
    "private": N_(
        "A telephone or notebook with a private address: find out whose it is, or keep it off this network."
    ),
    "": N_("Find out what it is: install the agent on a computer; say what else it is and approve it."),
}


@dataclass(frozen=True)
class DeviceRow:
    """A device; ``kind_words`` says what it is, ``todo`` what is to be done with it (empty: nothing)."""

    line: DeviceLine
    kind_words: str
    todo: str


@dataclass(frozen=True)
class DevicesPage:
    """``by_standing`` counts what the other filters leave."""

    query: Query
    rows: list[DeviceRow]
    slice: Slice
    by_standing: dict[str, int]
    standing: str
    text: str
    agency: str
    kind: str
    kinds: dict[str, str]
    simulated: str
    agencies: list[Choice]


@dataclass(frozen=True)
class AddressRow:
    ip: str
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class ApprovalRow:
    """``state`` is ``in_force``, ``expired`` or ``ended``; the reason is what somebody wrote."""

    id: int
    reason: str
    made_at: datetime
    made_by: str
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str
    state: str


@dataclass(frozen=True)
class DevicePage:
    """One device with its history. ``counts``: it is a machine that should have an agent."""

    row: DeviceRow
    names: list[str]
    how: list[str]
    vendor_class: str
    placed_at: datetime | None
    unauthorised_at: datetime | None
    addresses: list[AddressRow]
    approvals: list[ApprovalRow]
    alerts: list[AlertRow]
    kinds: dict[str, str]
    counts: bool
    may_decide: bool
    most_days: int = MOST_DAYS
    refused: str = ""


@router.get("/devices")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("devices.html", build(visit))


@router.get("/devices/{device_id}")
def show_device(
    device_id: Number, request: Request, services: RequestServices, principal: Reader
) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("device.html", build_device(visit, device_id))


@router.post("/devices/{device_id}/approve")
def approve(
    device_id: Number,
    request: Request,
    services: RequestServices,
    principal: Decider,
    reason: Annotated[str, Form(max_length=4000)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            line = listing.get_device(session, principal.scope, device_id, visit.now).line
            deciding.approve(
                session,
                principal,
                agency_code=line.agency_code,
                mac=line.mac,
                reason=reason,
                expires_at=end_of_day("until", until),
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, device_id, error)
    return visit.back_to(f"/devices/{device_id}")


@router.post("/devices/{device_id}/approvals/{approval_id}/withdraw")
def withdraw(
    device_id: Number, approval_id: Number, request: Request, services: RequestServices, principal: Decider
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            deciding.withdraw(session, principal, approval_id, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, device_id, error)
    return visit.back_to(f"/devices/{device_id}")


@router.post("/devices/{device_id}/kind")
def set_kind(
    device_id: Number,
    request: Request,
    services: RequestServices,
    principal: Decider,
    kind: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            deciding.set_kind(session, principal, device_id, kind, visit.now)
    except (CollectorError, SocError) as error:
        return _refused(visit, device_id, error)
    return visit.back_to(f"/devices/{device_id}")


def build(visit: Visit) -> DevicesPage:
    query = visit.query("standing", "text", "agency", "kind", "simulated", "page")
    simulated = query.choice("simulated", SIMULATED)
    standing = query.choice("standing", listing.STANDINGS)
    kind = query.choice("kind", [each for each in KINDS if each])
    with visit.services.state.read() as session:
        agencies = visit.agencies(session)
        chosen = next((each for each in agencies if each.code == query.text("agency")), None)
        filters = Filters(
            agency_id=None if chosen is None else chosen.id,
            kind=kind or None,
            text=query.text("text"),
            simulated={"only": True, "1": None}.get(simulated, False),
        )
        scope = visit.principal.scope
        counts = listing.count_by_standing(session, scope, filters, visit.now)
        wanted = Filters(filters.agency_id, standing or None, filters.kind, filters.text, filters.simulated)
        total = counts[standing] if standing else sum(counts.values())
        part = Slice(query.number("page", 1), _ROWS, total)
        lines, _total = listing.list_devices(
            session, scope, wanted, visit.now, offset=part.offset, limit=_ROWS
        )
    return DevicesPage(
        query=query,
        rows=[_row(line, visit.t) for line in lines],
        slice=part,
        by_standing=counts,
        standing=standing,
        text=query.text("text"),
        agency="" if chosen is None else chosen.code,
        kind=kind,
        kinds={each: visit.t(KIND_WORDS[each]) for each in KINDS if each},
        simulated=simulated,
        agencies=choices(agencies),
    )


def build_device(visit: Visit, device_id: int, *, refused: str = "") -> DevicePage:
    may_read_alerts = visit.principal.may(Permission.ALERTS_READ)
    with visit.services.state.read() as session:
        found = listing.get_device(session, visit.principal.scope, device_id, visit.now)
        names = {each.id: each.name for each in visit.agencies(session)}
        alerts = [
            alert_row(each, visit.services.catalogue, names, visit.t)
            for each in (found.alerts if may_read_alerts else ())
        ]
        return DevicePage(
            row=_row(found.line, visit.t),
            names=found.names,
            how=found.how,
            vendor_class=found.vendor_class,
            placed_at=found.placed_at,
            unauthorised_at=found.unauthorised_at,
            addresses=[
                AddressRow(each.ip, each.first_seen_at, each.last_seen_at) for each in found.addresses
            ],
            approvals=[
                ApprovalRow(
                    each.id,
                    each.reason,
                    each.made_at,
                    each.made_by,
                    each.expires_at,
                    each.ended_at,
                    each.ended_by or "",
                    "ended" if each.ended_at else "in_force" if each.expires_at > visit.now else "expired",
                )
                for each in found.approvals
            ],
            alerts=alerts,
            kinds={each: visit.t(KIND_WORDS[each]) for each in KINDS},
            counts=found.line.kind not in ("gateway", *UNCOUNTED),
            may_decide=visit.principal.may(Permission.DEVICES_APPROVE),
            refused=refused,
        )


def _row(line: DeviceLine, t: Translator) -> DeviceRow:
    todo = ""
    if line.standing == "unmanaged":
        if line.kind in ("computer", "server"):
            todo = _TODO[line.kind]
        elif line.kind:
            todo = _TODO["known"]
        else:
            todo = _TODO["private" if line.locally_administered else ""]
    return DeviceRow(line, t(KIND_WORDS.get(line.kind, KIND_WORDS[""])), t(todo) if todo else "")


def _refused(visit: Visit, device_id: int, error: Exception) -> Response:
    return visit.answer(
        "device.html", build_device(visit, device_id, refused=str(error)), status=status_of(error)
    )
