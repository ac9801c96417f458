"""One endpoint: its state with the reason and the evidence, and everything that it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from collector.alerts.models import AlertFilters
from collector.alerts.models import Page as PageRequest
from collector.alerts.service import list_alerts
from collector.coverage.models import Machine
from collector.coverage.service import machine_of
from collector.detect.assessment import ASSESSMENT
from collector.errors import CollectorError
from collector.state.tables import Document, EndpointVulnerabilities
from collector.store.errors import StoreError
from soc_api import actions
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.assessment.exceptions import Key, in_force
from soc_api.assessment.service import Standing, standings_of
from soc_api.endpoints import service
from soc_api.endpoints.events import events_of
from soc_api.endpoints.service import PlacedEndpoint
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.pages.assessment import CheckWords, words_of
from soc_api.pages.identity import IdentityPart
from soc_api.pages.identity import of_machine as identity_of_machine
from soc_api.pages.metrics import Series, series_of
from soc_api.pages.query import Query, Slice
from soc_api.pages.render import to_json
from soc_api.pages.rows import (
    AlertRow,
    EventRow,
    MachineRow,
    alert_row,
    event_fields,
    event_summary,
    machine_row,
    rule_title,
)
from soc_api.pages.visit import Visit, back_to
from soc_api.pages.vulnerabilities import MachineVulnerabilities
from soc_api.pages.vulnerabilities import of_machine as vulnerabilities_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Revoker = Annotated[Principal, Depends(require(Permission.ENDPOINTS_REVOKE))]
TABS = ("status", "software", "vulnerabilities", "checks", "alerts", "events", "changes")
_ALERTS, _EVENTS, _CHANGES, _PACKAGES = 50, 100, 50, 200
_EVENT_WINDOW = timedelta(days=7)
_CHART_HOURS = 24
_REASON = 200


@dataclass(frozen=True)
class StatusDocument:
    """The newest of a kind (and item). ``body`` is what the agent says: any shape, hostile."""

    kind: str
    item: str
    body: dict[str, Any]
    observed_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    architecture: str
    manager: str


@dataclass(frozen=True)
class Assessment:
    """A set of checks on this machine. ``asked`` leaves out what does not apply; unknown ones are in it."""

    set: str
    observed_at: datetime
    passed: int
    asked: int
    checks: list[tuple[Standing, CheckWords]]


@dataclass(frozen=True)
class Change:
    """``gone``: the item went away; else ``raw`` is what the document said from ``changed_at`` on."""

    kind: str
    item: str
    changed_at: datetime
    gone: bool
    raw: str


@dataclass(frozen=True)
class StreamRow:
    """Where one of the endpoint's streams stands; ``missing`` batches never came, ``dropped`` the agent discarded."""

    stream: str
    last_seq: int
    missing: int
    dropped: int
    updated_at: datetime


@dataclass(frozen=True)
class EndpointPage:
    """What a tab does not show is empty. ``machine`` is None where the endpoint is retired."""

    query: Query
    tab: str
    id: str
    hostname: str
    role: str
    os_name: str
    agency: str
    agency_code: str
    simulated: bool
    agent_version: str
    enrolled_at: datetime
    last_seen_at: datetime | None
    retired_at: datetime | None
    clock_skew_seconds: float
    certificate_until: datetime | None
    revoked_at: datetime | None
    machine: MachineRow | None
    evidence: list[StatusDocument]
    documents: dict[str, list[StatusDocument]]
    failing: list[StatusDocument]
    streams: list[StreamRow]
    throttled: int
    throttled_at: datetime | None
    open_alerts: int
    checks_failed: int
    may_revoke: bool
    identity: IdentityPart
    refused: str = ""
    alerts: list[AlertRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    events_missing: bool = False
    assessments: list[Assessment] = field(default_factory=list)
    vulnerabilities_known: int = 0
    vulnerabilities: MachineVulnerabilities | None = None
    packages: list[Package] = field(default_factory=list)
    package_slice: Slice = field(default_factory=lambda: Slice(1, _PACKAGES, 0))
    text: str = ""
    changes: list[Change] = field(default_factory=list)

    def of(self, kind: str) -> dict[str, Any]:
        """The body of the only document of ``kind``; empty where there is none."""
        found = self.documents.get(kind)
        return found[0].body if found else {}


@router.get("/endpoints/{endpoint_id}")
def show(endpoint_id: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("endpoint.html", build(visit, endpoint_id))


@router.get("/endpoints/{endpoint_id}/latency")
def latency(endpoint_id: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    """The last day's round-trip times for the chart, as JSON: ``{times, series: [{label, unit, values}]}``."""
    visit = Visit(request, services, principal)
    with services.state.read() as session:
        service.get_endpoint(session, principal.scope, endpoint_id)
    t = visit.t
    wanted = (
        Series("lan.gateway_rtt_seconds", t("Gateway"), "ms", 1000.0),
        Series("lan.collector_connect_seconds", t("Collector"), "ms", 1000.0),
        Series("lan.dns_answer_seconds", t("DNS answer"), "ms", 1000.0),
    )
    since = visit.now - timedelta(hours=_CHART_HOURS)
    return series_of(services.store, endpoint_id, wanted, since)


@router.post("/endpoints/{endpoint_id}/revoke")
def revoke(
    endpoint_id: str,
    request: Request,
    services: RequestServices,
    principal: Revoker,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    return _remove(Visit(request, services, principal), endpoint_id, reason, actions.revoke_endpoint)


@router.post("/endpoints/{endpoint_id}/retire")
def retire(
    endpoint_id: str,
    request: Request,
    services: RequestServices,
    principal: Revoker,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    return _remove(Visit(request, services, principal), endpoint_id, reason, actions.retire_endpoint)


def _remove(
    visit: Visit,
    endpoint_id: str,
    reason: str,
    action: Callable[[Session, Principal, str, str, datetime], None],
) -> Response:
    try:
        if not reason.strip():
            raise InvalidError(Fault("reason", "must not be empty"))
        with visit.services.state.write() as session:
            action(session, visit.principal, endpoint_id, reason.strip()[:_REASON], visit.now)
    except (CollectorError, SocError) as error:
        page = build(visit, endpoint_id, refused=str(error))
        return visit.answer("endpoint.html", page, status=409 if isinstance(error, CollectorError) else 422)
    return back_to(f"/endpoints/{endpoint_id}")


def build(visit: Visit, endpoint_id: str, *, refused: str = "") -> EndpointPage:
    """Raises :class:`collector.errors.NotFoundError` where the endpoint is out of reach."""
    query = visit.query("tab", "text", "page", "status", "simulated")
    tab = query.choice("tab", TABS, TABS[0])
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        placed = service.get_endpoint(session, scope, endpoint_id)
        documents = [_document(each) for each in service.documents_of(session, endpoint_id)]
        machine = _machine(visit, session, placed)
        identity = identity_of_machine(visit, session, endpoint_id)
        certificates = service.certificates_of(session, endpoint_id)
        streams = service.streams_of(session, endpoint_id)
        throttled = service.throttled_of(session, endpoint_id)
        wanted = AlertFilters(endpoint_id=endpoint_id)
        alerts = list_alerts(session, scope, wanted, PageRequest(size=_ALERTS)).alerts
        changes = service.history_of(session, scope, endpoint_id, limit=_CHANGES) if tab == "changes" else ()
        counted = session.get(EndpointVulnerabilities, endpoint_id)
        excepted = in_force(session, visit.now).of(endpoint_id, placed.agency.id if placed.agency else None)
        vulnerable = (
            vulnerabilities_of(visit, session, endpoint_id, query) if tab == "vulnerabilities" else None
        )
    by_kind: dict[str, list[StatusDocument]] = {}
    for document in documents:
        by_kind.setdefault(document.kind, []).append(document)
    evidence = {name.removeprefix("document:") for name in machine.evidence} if machine else set()
    endpoint, agency = placed.endpoint, placed.agency
    packages, part = _packages(by_kind, query) if tab == "software" else ([], Slice(1, _PACKAGES, 0))
    events, missing = _events(visit, endpoint_id) if tab == "events" else ([], False)
    assessments = [_assessment(each, excepted, visit) for each in by_kind.get(ASSESSMENT, [])]
    return EndpointPage(
        query=query,
        tab=tab,
        id=endpoint.id,
        hostname=endpoint.hostname,
        role=endpoint.role,
        os_name=endpoint.os_name,
        agency=agency.name if agency else "",
        agency_code=agency.code if agency else "",
        simulated=endpoint.simulated,
        agent_version=endpoint.agent_version,
        enrolled_at=endpoint.enrolled_at,
        last_seen_at=endpoint.last_seen_at,
        retired_at=endpoint.retired_at,
        clock_skew_seconds=endpoint.clock_skew_seconds,
        certificate_until=certificates[0].not_after if certificates else None,
        revoked_at=certificates[0].revoked_at if certificates else None,
        machine=machine_row(machine, visit.t) if machine else None,
        evidence=[each for each in documents if f"{each.kind}/{each.item}" in evidence],
        documents={kind: each for kind, each in by_kind.items() if kind not in ("software", ASSESSMENT)},
        failing=[each for each in by_kind.get("collector_health", []) if each.body.get("ok") is False],
        streams=[StreamRow(s.stream, s.last_seq, s.missing, s.dropped, s.updated_at) for s in streams],
        throttled=throttled.refusals if throttled else 0,
        throttled_at=throttled.last_at if throttled else None,
        may_revoke=visit.principal.may(Permission.ENDPOINTS_REVOKE),
        identity=identity,
        refused=refused,
        open_alerts=sum(alert.status != "closed" for alert in alerts),
        alerts=[alert_row(alert, visit.services.catalogue, {}, visit.t) for alert in alerts],
        checks_failed=sum(s.result == "failed" for each in assessments for s, _ in each.checks),
        assessments=assessments if tab == "checks" else [],
        vulnerabilities_known=counted.numbers["affected"] if counted else 0,
        vulnerabilities=vulnerable,
        events=events,
        events_missing=missing,
        packages=packages,
        package_slice=part,
        text=query.text("text"),
        changes=[
            Change(c.kind, c.item, c.changed_at, c.body is None, "" if c.body is None else to_json(c.body))
            for c in changes
        ],
    )


def _machine(visit: Visit, session: Session, placed: PlacedEndpoint) -> Machine | None:
    """The endpoint's own line of the ledger, so that this page and the percentage cannot disagree."""
    limits = visit.services.settings.coverage
    return machine_of(session, visit.principal.scope, limits, visit.now, placed.endpoint.id)


def _document(document: Document) -> StatusDocument:
    return StatusDocument(
        document.kind, document.item, document.body, document.observed_at, document.changed_at
    )


def _assessment(document: StatusDocument, excepted: frozenset[Key], visit: Visit) -> Assessment:
    standings = standings_of(document.body, excepted)
    return Assessment(
        set=document.item,
        observed_at=document.observed_at,
        passed=sum(each.result == "passed" for each in standings),
        asked=sum(each.result != "not_applicable" for each in standings),
        checks=[(each, words_of(each.id, each.written, visit.t)) for each in standings],
    )


def _packages(by_kind: dict[str, list[StatusDocument]], query: Query) -> tuple[list[Package], Slice]:
    wanted = query.text("text").casefold()
    found: list[Package] = []
    for document in by_kind.get("software", []):
        listed = document.body.get("packages")
        found.extend(
            Package(*(str(entry.get(name, "")) for name in ("name", "version", "architecture", "manager")))
            for entry in (listed if isinstance(listed, list) else [])
            if isinstance(entry, dict) and wanted in str(entry.get("name", "")).casefold()
        )
    part = Slice(query.number("page", 1), _PACKAGES, len(found))
    return found[part.offset : part.offset + _PACKAGES], part


def _events(visit: Visit, endpoint_id: str) -> tuple[list[EventRow], bool]:
    """Newest first; (nothing, True) where the event store does not answer."""
    try:
        found = events_of(
            visit.services.store,
            visit.principal.scope,
            endpoint_id,
            since=visit.now - _EVENT_WINDOW,
            before=visit.now + timedelta(days=1),
            limit=_EVENTS,
        )
    except StoreError:
        return [], True
    return [
        EventRow(
            id=event.id,
            time=event.time,
            source=visit.words.source(event.product, event.category, event.service),
            summary=event_summary(event.fields, visit.words),
            fields=event_fields(event.fields, visit.words),
            rules=[rule_title(visit.services.catalogue, rule, visit.t) for rule in event.rules],
        )
        for event in found
    ], False
