"""Known vulnerabilities of installed software: the feeds, what they come to, and why."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.registry import service as registry
from collector.vulnerabilities import service
from collector.vulnerabilities.models import Finding
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor

router = APIRouter(tags=["vulnerabilities"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Severity = Literal["critical", "high", "medium", "low", "none", "unknown"]
AgencyCode = Annotated[
    str | None, Query(max_length=64, description="Only machines of this agency (its code).")
]
Simulated = Annotated[bool, Query(description="Count simulated machines, too.")]


class FeedShape(Shape):
    name: str
    kind: str = Field(description="`osv`, `nvd` or `kev`.")
    file: str
    newest_at: datetime | None = Field(description="The newest change of a record in it.")
    imported_at: datetime
    records: int
    left_out: int = Field(description="For systems that are not known here, or withdrawn.")
    refused: int = Field(description="Records that could not be read.")
    faults: list[str]
    old: bool = Field(description="Older than `vulnerabilities.feed_days`.")


class FoundShape(Shape):
    name: str = Field(description="A CVE; the record's own id where it names none.")
    summary: str
    severity: Severity
    score: float | None
    published_at: datetime | None
    exploited_at: datetime | None = Field(description="Known to be used in attacks since (CISA).")
    machines: int
    fixable: int = Field(description="Machines on which an update ends it.")


class HostShape(Shape):
    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    fixable: bool
    examined_at: datetime


class WholeVulnerability(FoundShape):
    hosts: list[HostShape]


class EvidenceShape(Shape):
    package: str = Field(description="As the feed names it: Debian and Ubuntu go by source package.")
    binaries: list[str] = Field(description="The installed packages that it stands for, at most 20.")
    more_binaries: int = Field(description="How many more there are.")
    installed: str
    fixed: str = Field(description="The version that ends it; empty: there is none (yet).")
    status: str
    reason: str = Field(description="Why it is unknown.")
    record_id: str
    feed: str
    modified_at: datetime | None


class FindingShape(Shape):
    name: str
    status: Literal["affected", "unknown", "fixed"]
    fixable: bool
    severity: Severity
    score: float | None
    summary: str
    published_at: datetime | None
    exploited_at: datetime | None
    evidence: list[EvidenceShape]


class UnknownPackage(Shape):
    name: str
    version: str
    reason: str


class ExaminationShape(Shape):
    ecosystem: str
    reason: str = Field(description="Why nothing can be said of this machine; empty where something can.")
    parameters: dict[str, str]
    packages: int
    findings: list[FindingShape]
    unknown: list[UnknownPackage] = Field(
        description="Packages of which nothing can be said: not fine, unknown."
    )
    counted_at: datetime | None = Field(description="When it was last counted in the sums.")


@router.get("/vulnerabilities")
def vulnerabilities(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    agency: AgencyCode = None,
    severity: Annotated[list[Severity] | None, Query(description="Only these; may be repeated.")] = None,
    fixable: Annotated[bool, Query(description="Only what an update ends on some machine.")] = False,
    exploited: Annotated[bool, Query(description="Only what is known to be used in attacks.")] = False,
    text: Annotated[str, Query(max_length=200)] = "",
    simulated: Simulated = False,
) -> Page[FoundShape]:
    """What machines within reach have, the gravest first, with the number of machines."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        agency_id = registry.get_agency(session, principal.scope, agency).id if agency else None
        filters = service.Filters(
            agency_id, tuple(severity or ()), fixable, exploited, text, _counted(simulated)
        )
        rows, total = service.list_vulnerabilities(
            session, principal.scope, filters, offset=start, limit=paging.limit
        )
    end = start + len(rows)
    return Page(
        items=[FoundShape.model_validate(row) for row in rows], next=cursor(end) if end < total else None
    )


@router.get("/vulnerability-feeds")
def feeds(services: RequestServices, principal: Reader) -> list[FeedShape]:  # noqa: ARG001 - signed-in users only
    """The feeds in use, by name."""
    with services.state.read() as session:
        found = service.list_feeds(session, services.clock(), services.settings.vulnerabilities.feed_days)
    return [FeedShape.model_validate(each) for each in found]


@router.get("/vulnerabilities/{vulnerability}")
def vulnerability(
    vulnerability: str,
    services: RequestServices,
    principal: Reader,
    agency: AgencyCode = None,
    simulated: Simulated = False,
) -> WholeVulnerability:
    """One vulnerability and the machines that have it, by name."""
    with services.state.read() as session:
        agency_id = registry.get_agency(session, principal.scope, agency).id if agency else None
        filters = service.Filters(agency_id=agency_id, simulated=_counted(simulated))
        found, hosts = service.get_vulnerability(session, principal.scope, vulnerability, filters)
    shape = FoundShape.model_validate(found)
    return WholeVulnerability(**shape.model_dump(), hosts=[HostShape.model_validate(each) for each in hosts])


@router.get("/endpoints/{endpoint_id}/vulnerabilities")
def of_endpoint(
    endpoint_id: str,
    services: RequestServices,
    principal: Reader,
    fixed: Annotated[bool, Query(description="Also what its versions are fixed for.")] = False,
) -> ExaminationShape:
    """What one machine has by its present software and the present feeds, each with its evidence."""
    with services.state.read() as session:
        found, counted = service.examine_endpoint(session, principal.scope, endpoint_id, with_fixed=fixed)
    return ExaminationShape(
        ecosystem=found.ecosystem,
        reason=found.reason,
        parameters=dict(found.parameters),
        packages=found.packages,
        findings=[_shape(each) for each in found.findings],
        unknown=[UnknownPackage(name=n, version=v, reason=why) for n, v, why in found.unknown],
        counted_at=None if counted is None else counted.examined_at,
    )


def _shape(finding: Finding) -> FindingShape:
    return FindingShape.model_validate(finding)


def _counted(simulated: bool) -> frozenset[bool]:
    return frozenset({False, simulated})
