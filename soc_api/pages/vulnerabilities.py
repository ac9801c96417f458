"""Known vulnerabilities over all machines: which there are, how many machines have each, and how old the feeds are."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from collector.registry.service import list_agencies
from collector.state.scope import EVERYTHING
from collector.vulnerabilities import service
from collector.vulnerabilities.models import AFFECTED, FIXED, SEVERITIES, STATUSES, Examination, Finding
from collector.vulnerabilities.service import Feed, Filters, Found, Host, Progress
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit
from soc_api.pages.vulnerability_words import machine_reason

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_ROWS = 50
_FINDINGS = 100
_UNKNOWN = 200
_EVIDENCE = 20
_COUNTED = {"": frozenset({False}), "1": frozenset({False, True}), "only": frozenset({True})}


@dataclass(frozen=True)
class VulnerabilitiesPage:
    """``severity`` and ``agency`` are empty where all are meant."""

    query: Query
    rows: list[Found]
    slice: Slice
    feeds: list[Feed]
    feed_days: int
    progress: Progress
    severity: str
    agency: str
    fixable: bool
    exploited: bool
    text: str
    simulated: str
    sort: str
    down: bool
    agencies: list[Choice]


@dataclass(frozen=True)
class VulnerabilityPage:
    query: Query
    found: Found
    hosts: list[Host]
    slice: Slice
    agency: str
    agencies: list[Choice]


@dataclass(frozen=True)
class MachineVulnerabilities:
    """What the tab of an endpoint shows. ``reason`` is why nothing can be said, in words; ``unknown`` are the first of
    ``unknown_total`` packages of which nothing can be said: name, version, code of the reason. What is fixed is counted
    only where it is shown. Of each finding the first ``evidence_shown`` pieces of evidence are shown."""

    reason: str
    findings: list[Finding]
    evidence_shown: int
    slice: Slice
    status: str
    totals: dict[str, int | None]
    fixable: int
    unknown: list[tuple[str, str, str]]
    unknown_total: int
    packages: int
    feeds: list[Feed]


@router.get("/vulnerabilities")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("vulnerabilities.html", build(visit))


@router.get("/vulnerabilities/{vulnerability}")
def show_one(vulnerability: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("vulnerability.html", build_one(visit, vulnerability))


def build(visit: Visit) -> VulnerabilitiesPage:
    query = visit.query("severity", "agency", "fixable", "exploited", "text", "simulated", "sort", "page")
    severity, simulated = query.choice("severity", SEVERITIES), query.choice("simulated", SIMULATED)
    sort, down = query.text("sort").removeprefix("-"), query.text("sort").startswith("-")
    if sort not in service.SORTS:
        sort, down = "severity", False
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        agencies = list_agencies(session, scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        filters = Filters(
            agency_id=chosen.id if chosen else None,
            severities=(severity,) if severity else (),
            fixable=query.flag("fixable"),
            exploited=query.flag("exploited"),
            text=query.text("text"),
            simulated=_COUNTED[simulated],
        )
        offset = (query.number("page", 1) - 1) * _ROWS
        rows, total = service.list_vulnerabilities(
            session, scope, filters, sort=sort, down=down, offset=offset, limit=_ROWS
        )
        feeds = _feeds(visit, session)
        progress = service.progress_of(session, scope, filters.simulated)
    return VulnerabilitiesPage(
        query=query,
        rows=rows,
        slice=Slice(query.number("page", 1), _ROWS, total),
        feeds=feeds,
        feed_days=visit.services.settings.vulnerabilities.feed_days,
        progress=progress,
        severity=severity,
        agency=chosen.code if chosen else "",
        fixable=filters.fixable,
        exploited=filters.exploited,
        text=filters.text,
        simulated=simulated,
        sort=sort,
        down=down,
        agencies=choices(agencies) if len(agencies) > 1 else [],
    )


def build_one(visit: Visit, name: str) -> VulnerabilityPage:
    """Raises :class:`collector.errors.NotFoundError` where no machine within reach has had it."""
    query = visit.query("agency", "simulated", "page")
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        agencies = list_agencies(session, scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        filters = Filters(
            agency_id=chosen.id if chosen else None,
            simulated=_COUNTED[query.choice("simulated", SIMULATED)],
        )
        found, hosts = service.get_vulnerability(session, scope, name, filters)
    part = Slice(query.number("page", 1), _ROWS, len(hosts))
    return VulnerabilityPage(
        query=query,
        found=found,
        hosts=hosts[part.offset : part.offset + _ROWS],
        slice=part,
        agency=chosen.code if chosen else "",
        agencies=choices(agencies) if len(agencies) > 1 else [],
    )


def of_machine(visit: Visit, session: Session, endpoint_id: str, query: Query) -> MachineVulnerabilities:
    """What one endpoint has, by its present documents; the reader must reach it."""
    status = query.choice("status", STATUSES, AFFECTED)
    found, _ = service.examine_endpoint(session, EVERYTHING, endpoint_id, with_fixed=status == FIXED)
    totals: dict[str, int | None] = {each: sum(f.status == each for f in found.findings) for each in STATUSES}
    if status != FIXED:
        totals[FIXED] = None
    wanted = query.text("text").casefold()
    shown = [f for f in found.findings if f.status == status and _holds(f, wanted)]
    shown.sort(key=_gravest_first)
    part = Slice(query.number("page", 1), _FINDINGS, len(shown))
    return MachineVulnerabilities(
        reason=_reason(visit, found),
        findings=shown[part.offset : part.offset + _FINDINGS],
        evidence_shown=_EVIDENCE,
        slice=part,
        status=status,
        totals=totals,
        fixable=sum(f.fixable for f in found.findings),
        unknown=list(found.unknown[:_UNKNOWN]),
        unknown_total=len(found.unknown),
        packages=found.packages,
        feeds=_feeds(visit, session),
    )


def _holds(finding: Finding, wanted: str) -> bool:
    texts = (finding.name, *(text for each in finding.evidence for text in (each.package, *each.binaries)))
    return any(wanted in text.casefold() for text in texts)


def _gravest_first(finding: Finding) -> tuple[bool, int, float, str]:
    exploited = finding.exploited_at is not None and finding.status != FIXED
    return (not exploited, SEVERITIES.index(finding.severity), -(finding.score or 0.0), finding.name)


def _reason(visit: Visit, found: Examination) -> str:
    return machine_reason(visit.t, found.reason, found.parameters) if found.reason else ""


def _feeds(visit: Visit, session: Session) -> list[Feed]:
    return service.list_feeds(session, visit.now, visit.services.settings.vulnerabilities.feed_days)
