"""Firewalls of agencies: those that people declare, those that probes ask, each once, with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from collector.devices.macs import parse_ip
from collector.documents.service import HEALTH
from collector.errors import ConflictError, NotFoundError
from collector.firewalls.judging import Answer, Facts, Value, judge, verdict, worst
from collector.registry.service import list_agencies
from collector.state.tables import Agency, Assignment, Document, Endpoint, Firewall, LogSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

#: What a probe tells of a device that it asks by SSH (:mod:`agent.probe.ssh`).
KIND = "device_configuration"
#: The part of a probe that tells it, as ``collector_health`` names it.
PART = "ssh_devices"
_MOST = 500
#: A document of a probe, the probe, and whether that part of it works.
Told = tuple[Document, Endpoint, bool]


@dataclass(frozen=True)
class Known:
    """One firewall. ``id`` is None where nobody declared it, ``endpoint_id`` (the probe's) where no probe asks it. What
    the device says of itself is text that a stranger may have chosen."""

    id: int | None
    name: str
    address: str
    vendor: str
    product: str
    version: str
    model: str
    serial_number: str
    endpoint_id: str | None
    answers: dict[str, Answer]
    support_until: date | None
    note: str


@dataclass(frozen=True)
class AgencyFirewalls:
    agency: Agency
    firewalls: list[Known]
    verdict: Value


def list_firewalls(
    session: Session, scope: Scope, now: datetime, *, agency_id: int | None = None
) -> list[AgencyFirewalls]:
    """Every agency within reach, in its order, with its firewalls. Simulated probes do not count."""
    agencies = [each for each in list_agencies(session, scope) if agency_id is None or each.id == agency_id]
    ids = {each.id for each in agencies}
    declared: dict[int, list[Firewall]] = {}
    for row in session.scalars(select(Firewall).where(Firewall.retired_at.is_(None)).order_by(Firewall.name)):
        if row.agency_id in ids:
            declared.setdefault(row.agency_id, []).append(row)
    told = _told(session, ids)
    heard = _heard(session, ids)
    found = []
    for agency in agencies:
        rows = _joined(agency.id, declared.get(agency.id, []), told.get(agency.id, []), heard, now)
        found.append(AgencyFirewalls(agency, rows, verdict([each.answers for each in rows])))
    return found


def declare(
    session: Session, agency_id: int, name: str, address: str, by: str, now: datetime, *, note: str = ""
) -> Firewall:
    """Say that the agency has this firewall; one that was retired comes back.

    Raises:
        ConflictError: it has one of that name already.
    """
    row = session.scalars(
        select(Firewall).where(Firewall.agency_id == agency_id, Firewall.name == name)
    ).one_or_none()
    if row is not None and row.retired_at is None:
        raise ConflictError(f"this agency has a firewall {name!r} already")
    if row is None:
        row = Firewall(agency_id=agency_id, name=name)
        session.add(row)
    row.address, row.note, row.declared_at, row.declared_by = address, note, now, by
    row.support_until = None
    row.retired_at = row.retired_by = row.retired_reason = None
    session.flush()
    return row


def get_firewall(session: Session, scope: Scope, firewall_id: int) -> Firewall:
    """One in use. Raises :class:`NotFoundError` where there is none within reach."""
    row = session.get(Firewall, firewall_id)
    if row is None or row.retired_at is not None or not scope.reaches(row.agency_id):
        raise NotFoundError("no such firewall")
    return row


def _told(session: Session, agency_ids: set[int]) -> dict[int, list[Told]]:
    """Of probes alone: who says nothing of that part has none, and that one has it is told to people (the rule
    ``initial_access_new_probe``)."""
    health = aliased(Document)
    query = (
        select(Document, Endpoint, Assignment.agency_id, health.body)
        .join(
            health,
            (health.endpoint_id == Document.endpoint_id) & (health.kind == HEALTH) & (health.item == PART),
        )
        .join(Endpoint, Endpoint.id == Document.endpoint_id)
        .join(Assignment, Assignment.endpoint_id == Endpoint.id)
        .where(
            Document.kind == KIND,
            Assignment.valid_to.is_(None),
            Assignment.agency_id.in_(agency_ids),
            Endpoint.retired_at.is_(None),
            Endpoint.simulated.is_(False),
        )
        .order_by(Document.item, Document.endpoint_id)
    )
    told: dict[int, list[Told]] = {}
    for document, endpoint, agency_id, fares in session.execute(query):
        of_agency = told.setdefault(agency_id, [])
        if document.body.get("role") == "firewall" and len(of_agency) < _MOST:
            of_agency.append((document, endpoint, fares.get("ok") is True))
    return told


def _heard(session: Session, agency_ids: set[int]) -> dict[tuple[int, str], datetime]:
    """When the log of each address was last heard; one that was taken out of the register counts as any other."""
    query = select(LogSource.agency_id, LogSource.address, LogSource.last_seen_at).where(
        LogSource.last_seen_at.is_not(None)
    )
    return {
        (agency_id, address): when
        for agency_id, address, when in session.execute(query)
        if agency_id in agency_ids and when is not None
    }


def _joined(
    agency_id: int,
    declared: list[Firewall],
    told: list[Told],
    heard: Mapping[tuple[int, str], datetime],
    now: datetime,
) -> list[Known]:
    """Declared ones first; what a probe tells belongs to the one of its address, else of its name, else stands alone.
    Where several probes ask one firewall, the worst counts that any of those says who can speak of now; what it is, by
    the one that was heard last."""
    left = sorted(told, key=lambda pair: pair[1].last_seen_at or pair[1].enrolled_at, reverse=True)
    rows = []
    for firewall in declared:
        mine = [pair for pair in left if _is(firewall, pair[0].body)]
        left = [pair for pair in left if pair not in mine]
        rows.append(_known(agency_id, firewall, mine, heard, now))
    others: dict[str, list[Told]] = {}
    for pair in left:
        address = parse_ip(pair[0].body.get("address")) or _text(pair[0].body, "name")
        others.setdefault(address, []).append(pair)
    rows += [_known(agency_id, None, mine, heard, now) for mine in others.values()]
    return rows


def _is(firewall: Firewall, body: Mapping[str, Any]) -> bool:
    address = parse_ip(body.get("address"))
    return address == firewall.address if address else _text(body, "name") == firewall.name


def _known(
    agency_id: int,
    firewall: Firewall | None,
    told: list[Told],
    heard: Mapping[tuple[int, str], datetime],
    now: datetime,
) -> Known:
    body: Mapping[str, Any] = told[0][0].body if told else {}
    address = firewall.address if firewall else parse_ip(body.get("address")) or _text(body, "address")
    until = firewall.support_until if firewall else None
    logged_at = heard.get((agency_id, address))
    facts = [
        Facts(document.body, endpoint.last_seen_at, logged_at, until, working)
        for document, endpoint, working in told
    ] or [Facts(None, None, logged_at, until)]
    now_known = [each for each in facts if each.speaks(now)] or facts[:1]
    return Known(
        id=firewall.id if firewall else None,
        name=firewall.name if firewall else _text(body, "name"),
        address=address,
        vendor=_text(body, "vendor"),
        product=_text(body, "product"),
        version=_text(body, "version"),
        model=_text(body, "model"),
        serial_number=_text(body, "serial_number"),
        endpoint_id=told[0][1].id if told else None,
        answers=worst([judge(each, now) for each in now_known]),
        support_until=until,
        note=firewall.note if firewall else "",
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value[:128] if isinstance(value, str) and value.isprintable() else ""
