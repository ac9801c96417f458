"""The coverage ledger: every machine that is known, in exactly one state, with the reason.

An endpoint's state is the first of these that holds: retired, or a record that another goes on for (not counted),
silent, a copy that nobody has confirmed (unknown), then what its antivirus documents say
(:mod:`collector.coverage.protection`). The national limit (15 days) decides ``outdated``; the stricter local limit sets
the flag ``late``, for both have their alerts but only one may decide a
percentage. A device is ``unmanaged`` unless its MAC is an enrolled endpoint's; a default gateway is listed,
not counted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import aliased

from collector.coverage.models import (
    STATES,
    AgencyCoverage,
    Counts,
    Ledger,
    Machine,
    Reason,
)
from collector.coverage.protection import ANTIVIRUS, HEALTH, protection_of
from collector.devices.kinds import is_counted
from collector.devices.macs import is_locally_administered
from collector.identity.links import counted_elsewhere, same_agency
from collector.registry.service import list_agencies
from collector.state.tables import Assignment, Device, Document, Endpoint, EndpointOrigin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from collector.settings import Coverage
    from collector.state.scope import Scope
    from collector.state.tables import Agency

_WORST_FIRST = ("none", "off", "outdated", "unmanaged", "silent", "unknown", "protected")
_PASSING = timedelta(hours=1)
_Bodies = dict[str, dict[str, dict[str, Any]]]


def ledger(
    session: Session,
    scope: Scope,
    limits: Coverage,
    now: datetime,
    *,
    agency_id: int | None = None,
    include_simulated: bool,
) -> Ledger:
    """Reconcile agents and devices as they stand at ``now``, for the agencies within reach (or just one of
    them).

    Agencies that ended before ``now`` appear only while machines still belong to them. Endpoints without an
    agency are seen by an unlimited scope only.
    """
    agencies, unassigned = _reach(session, scope, agency_id)
    simulated = None if include_simulated else False
    endpoints = _endpoints(agencies, unassigned, simulated)
    machines = [
        *_judged(session, endpoints, agencies, limits, now),
        *_devices(session, agencies, limits, now, simulated),
    ]
    order = {key: position for position, key in enumerate(agencies)}
    machines.sort(
        key=lambda machine: (
            order.get(machine.agency_id or 0, len(order)),
            _WORST_FIRST.index(machine.state),
            machine.name,
            machine.id,
        )
    )
    lines = _lines(agencies, machines, now)
    return Ledger(
        as_of=now,
        machines=machines,
        agencies=lines,
        total=_total(lines, machines),
        national_days=limits.national_signature_days,
        local_days=limits.local_signature_days,
        include_simulated=include_simulated,
    )


def machine_of(
    session: Session, scope: Scope, limits: Coverage, now: datetime, endpoint_id: str
) -> Machine | None:
    """One endpoint's line, as :func:`ledger` has it; None where it is retired or out of reach."""
    agencies, unassigned = _reach(session, scope, None)
    query = _endpoints(agencies, unassigned, None).where(Endpoint.id == endpoint_id)
    return next(iter(_judged(session, query, agencies, limits, now)), None)


def count_simulated(
    session: Session, scope: Scope, limits: Coverage, now: datetime, *, agency_id: int | None = None
) -> int:
    """How many simulated machines a ledger without them leaves out."""
    agencies, unassigned = _reach(session, scope, agency_id)
    endpoints = _endpoints(agencies, unassigned, True).with_only_columns(func.count())
    devices = sum(device.counted for device in _devices(session, agencies, limits, now, True))
    return (session.scalar(endpoints) or 0) + devices


def _reach(session: Session, scope: Scope, agency_id: int | None) -> tuple[dict[int, Agency], bool]:
    """The agencies to look at, in order, and whether endpoints of no agency belong to the picture."""
    agencies = {
        agency.id: agency
        for agency in list_agencies(session, scope)
        if agency_id is None or agency.id == agency_id
    }
    return agencies, scope.agency_ids is None and agency_id is None


_COPIED = aliased(Endpoint)
_ENDPOINT = (
    Endpoint.id,
    Endpoint.hostname,
    Endpoint.role,
    Endpoint.simulated,
    Endpoint.enrolled_at,
    Endpoint.last_seen_at,
    Assignment.agency_id,
    EndpointOrigin.split_at,
    EndpointOrigin.confirmed_at,
    _COPIED.hostname.label("copied_name"),
)
_WATCHER = aliased(Endpoint)
_DEVICE = (
    Device.id,
    Device.agency_id,
    Device.mac,
    Device.ip,
    Device.kind,
    Device.assigned_kind,
    Device.name,
    _WATCHER.hostname.label("watcher"),
    Device.simulated,
    Device.first_seen_at,
    Device.last_seen_at,
    Endpoint.id.label("owner"),
    Endpoint.hostname,
    Endpoint.retired_at,
)


def _endpoints(
    agencies: Mapping[int, Agency], unassigned: bool, simulated: bool | None
) -> Select[*tuple[Any, ...]]:
    """Selects :data:`_ENDPOINT` of those that count; ``simulated``: only such, only others, None for both."""
    open_now = (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None)
    inside: ColumnElement[bool] = Assignment.agency_id.in_(sorted(agencies))
    if unassigned:
        inside = or_(inside, Assignment.agency_id.is_(None))
    query = (
        select(*_ENDPOINT)
        .select_from(Endpoint)
        .outerjoin(Assignment, open_now)
        .outerjoin(EndpointOrigin, EndpointOrigin.endpoint_id == Endpoint.id)
        .outerjoin(_COPIED, and_(_COPIED.id == EndpointOrigin.split_from, same_agency(Endpoint, _COPIED)))
        .where(Endpoint.retired_at.is_(None), ~counted_elsewhere(), inside)
    )
    return query if simulated is None else query.where(Endpoint.simulated.is_(simulated))


def _judged(
    session: Session,
    query: Select[*tuple[Any, ...]],
    agencies: Mapping[int, Agency],
    limits: Coverage,
    now: datetime,
) -> Iterable[Machine]:
    """The machines of ``query``, which selects :data:`_ENDPOINT`."""
    antivirus, health, observed = _documents(session, query.with_only_columns(Endpoint.id))
    for endpoint in session.execute(query):
        yield _endpoint(
            endpoint,
            agencies.get(endpoint.agency_id),
            antivirus.get(endpoint.id, {}),
            health.get(endpoint.id, {}),
            observed.get(endpoint.id),
            limits,
            now,
        )


def _documents(
    session: Session, of: Select[*tuple[Any, ...]]
) -> tuple[_Bodies, _Bodies, dict[str, datetime]]:
    """What tells of antivirus, of the endpoints ``of`` selects, by endpoint and item."""
    antivirus: _Bodies = defaultdict(dict)
    health: _Bodies = defaultdict(dict)
    observed: dict[str, datetime] = {}
    wanted = or_(
        Document.kind == ANTIVIRUS, and_(Document.kind == HEALTH, Document.item.startswith(ANTIVIRUS))
    )
    query = select(
        Document.endpoint_id, Document.kind, Document.item, Document.body, Document.observed_at
    ).where(Document.endpoint_id.in_(of), wanted)
    for endpoint_id, kind, item, body, observed_at in session.execute(query):
        if kind == HEALTH:
            health[endpoint_id][item] = body
        else:
            antivirus[endpoint_id][item] = body
            observed[endpoint_id] = max(observed_at, observed.get(endpoint_id, observed_at))
    return antivirus, health, observed


def _endpoint(
    endpoint: Any,
    agency: Agency | None,
    antivirus: Mapping[str, Mapping[str, Any]],
    health: Mapping[str, Mapping[str, Any]],
    observed_at: datetime | None,
    limits: Coverage,
    now: datetime,
) -> Machine:
    protection = protection_of(antivirus, health, now.timestamp(), limits)
    state, reason = protection.state, protection.reason
    evidence = tuple(f"document:{kind}/{item}" for kind, item in protection.documents)
    quiet = int((now - (endpoint.last_seen_at or endpoint.enrolled_at)).total_seconds())
    if quiet > limits.silent_after_seconds:
        code = "never_reported" if endpoint.last_seen_at is None else "not_heard_from"
        state, reason, evidence = "silent", Reason(code, {"seconds": quiet}), ("endpoint:last_seen",)
    elif endpoint.last_seen_at is None:
        state, reason = "unknown", Reason("waiting_for_first_report")
        evidence = ("endpoint:last_seen",)
    if endpoint.split_at is not None and endpoint.confirmed_at is None and state != "silent":
        # Whoever held a copy of a key made it; what it reports is not compliance until a person knows it.
        named = {} if endpoint.copied_name is None else {"hostname": endpoint.copied_name}
        state, reason = "unknown", Reason("copy_not_confirmed", named)
        evidence = ("endpoint:origin",)
    moment = protection.signature_time
    return Machine(
        id=endpoint.id,
        kind="endpoint",
        name=endpoint.hostname,
        **_agency_fields(agency),
        state=state,
        reason=reason,
        counted=True,
        antivirus=protection.product,
        signature_time=None if moment is None else datetime.fromtimestamp(moment, UTC),
        age_days=protection.age_days,
        late=protection.late and state in ("protected", "outdated"),
        real_time=protection.real_time,
        role=endpoint.role,
        mac="",
        ip="",
        last_seen=endpoint.last_seen_at,
        simulated=endpoint.simulated,
        evidence=evidence,
        observed_at=observed_at,
    )


def _devices(
    session: Session,
    agencies: Mapping[int, Agency],
    limits: Coverage,
    now: datetime,
    simulated: bool | None,
) -> Iterable[Machine]:
    query = (
        select(*_DEVICE)
        .select_from(Device)
        .outerjoin(Endpoint, Endpoint.id == Device.endpoint_id)
        .outerjoin(_WATCHER, _WATCHER.id == Device.seen_by)
        .where(Device.last_seen_at >= now - timedelta(days=limits.device_forgotten_days))
        .order_by(Device.last_seen_at, Device.id)
    )
    if simulated is not None:
        query = query.where(Device.simulated.is_(simulated))
    # An endpoint that was carried to another agency is counted where it was seen last, once. That another agency has a
    # card of the same MAC, which anybody can take, hides no device without an agent.
    newest = {
        (device.mac, device.agency_id if device.owner is None else None): device
        for device in session.execute(query)
    }
    for device in newest.values():
        agency = agencies.get(device.agency_id)
        if agency is None or _passing(device):
            continue
        parameters = {"mac": device.mac, "ip": device.ip, "seen_by": device.watcher or ""}
        reason = Reason("no_agent", parameters)
        if device.owner is not None:
            if device.retired_at is None or device.last_seen_at <= device.retired_at:
                continue  # it stands in the ledger as the endpoint it is
            parameters = {"mac": device.mac, "ip": device.ip, "hostname": device.hostname}
            reason = Reason("retired_but_seen", parameters)
        yield _device(device, agency, reason)


def _passing(device: Any) -> bool:
    """A card made up by software that had no address and was not seen for long: telephones looking around, and what
    somebody makes up by the thousand."""
    lasted = device.last_seen_at - device.first_seen_at
    return (
        not device.ip
        and not device.assigned_kind
        and lasted < _PASSING
        and is_locally_administered(device.mac)
    )


def _device(device: Any, agency: Agency, reason: Reason) -> Machine:
    return Machine(
        id=str(device.id),
        kind="device",
        name=device.name or device.ip or device.mac,
        **_agency_fields(agency),
        state="unmanaged",
        reason=reason,
        counted=is_counted(device.kind, device.assigned_kind),
        antivirus="",
        signature_time=None,
        age_days=None,
        late=False,
        real_time="unknown",
        role=device.assigned_kind or device.kind,
        mac=device.mac,
        ip=device.ip,
        last_seen=device.last_seen_at,
        simulated=device.simulated,
        evidence=(f"device:{device.id}",),
        observed_at=device.last_seen_at,
    )


def _agency_fields(agency: Agency | None) -> dict[str, Any]:
    return {
        "agency_id": None if agency is None else agency.id,
        "agency_code": "" if agency is None else agency.code,
        "agency_name": "" if agency is None else agency.name,
    }


def _lines(agencies: Mapping[int, Agency], machines: list[Machine], now: datetime) -> list[AgencyCoverage]:
    of_agency: dict[int | None, list[Machine]] = defaultdict(list)
    for machine in machines:
        of_agency[machine.agency_id].append(machine)
    lines = [
        AgencyCoverage(
            agency_id=agency.id,
            code=agency.code,
            name=agency.name,
            level=agency.level,
            officials=agency.officials,
            counts=_count(of_agency[agency.id], agency.officials),
        )
        for agency in agencies.values()
        if agency.id in of_agency or agency.valid_to is None or agency.valid_to >= now.date()
    ]
    if None in of_agency:
        lines.append(AgencyCoverage(None, "", "", "", None, _count(of_agency[None], None)))
    return lines


def _count(machines: list[Machine], officials: int | None) -> Counts:
    by_state = dict.fromkeys(STATES, 0)
    for machine in machines:
        if machine.counted:
            by_state[machine.state] += 1
    return Counts(
        by_state=by_state,
        late=sum(machine.late for machine in machines),
        real_time_on=sum(machine.state == "protected" and machine.real_time == "on" for machine in machines),
        network_equipment=sum(not machine.counted for machine in machines),
        declared=officials,
        protected_of_declared=0 if officials is None else by_state["protected"],
    )


def _total(lines: list[AgencyCoverage], machines: list[Machine]) -> Counts:
    counts = _count(machines, None)
    declared = [line.counts.declared for line in lines if line.counts.declared is not None]
    return Counts(
        by_state=counts.by_state,
        late=counts.late,
        real_time_on=counts.real_time_on,
        network_equipment=counts.network_equipment,
        declared=sum(declared) if declared else None,
        protected_of_declared=sum(line.counts.protected_of_declared for line in lines),
    )
