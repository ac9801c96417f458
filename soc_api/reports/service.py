"""Makes reports: asks the ledger, puts the content together, and draws it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, get_args

from sqlalchemy import func, select

from collector.coverage.service import ledger
from collector.registry.service import get_agency
from collector.state.tables import Assignment, Device, Endpoint
from soc_api.reports.clean import clean
from soc_api.reports.content import CoverageReport
from soc_api.reports.document import write
from soc_api.reports.render_json import render_json
from soc_api.reports.targets import coverage_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from collector.settings import Coverage
    from collector.settings import Report as ReportSettings
    from collector.state.scope import Scope

Format = Literal["docx", "xlsx", "pdf", "json"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "json": "application/json",
}

#: Stands for every agency within the reader's reach.
ALL_AGENCIES: Final = "all"


def coverage_report(
    session: Session,
    scope: Scope,
    limits: Coverage,
    now: datetime,
    *,
    agency_code: str,
    include_simulated: bool,
) -> CoverageReport:
    """The coverage of one agency, or of all within reach (``agency_code`` is ``all``), as of ``now``.

    Raises:
        collector.registry.errors.AgencyNotFoundError: there is none of that code within reach.
    """
    agency = None if agency_code == ALL_AGENCIES else get_agency(session, scope, agency_code)
    agency_id = None if agency is None else agency.id
    found = ledger(session, scope, limits, now, agency_id=agency_id, include_simulated=include_simulated)
    return CoverageReport(
        ledger=found,
        scope_name="" if agency is None else clean(agency.name),
        scope_code="" if agency is None else agency.code,
        limits=limits,
        retired=_retired(session, scope, agency_id),
        simulated_left_out=0 if include_simulated else _simulated(session, scope, agency_id, limits, now),
        target=coverage_target(),
    )


def render(
    report: CoverageReport, head: ReportSettings, form: Format, lang: str, number: int | None = None
) -> bytes:
    """The file. The renderers' libraries are loaded when first used: they are heavy.

    Raises:
        FontsMissingError: a PDF, and no font to embed.
    """
    if form == "json":
        return render_json(report)
    if form == "xlsx":
        from soc_api.reports.render_xlsx import render_xlsx

        return render_xlsx(report, head, lang)
    document = write(report, head, lang, number)
    if form == "docx":
        from soc_api.reports.render_docx import render_docx

        return render_docx(document)
    from soc_api.reports.render_pdf import render_pdf

    return render_pdf(document)


def file_name(report: CoverageReport, form: Format) -> str:
    """ASCII, of our own making: the code of an agency is the only part that varies, and is filtered."""
    code = "".join(c if c.isascii() and c.isalnum() else "-" for c in report.scope_code) or ALL_AGENCIES
    return f"coverage-{code}-{report.ledger.as_of:%Y%m%d-%H%M}Z.{form}"


def _within(scope: Scope, agency_id: int | None) -> ColumnElement[bool]:
    reach = scope.where(Assignment.agency_id)
    return reach if agency_id is None else reach & (Assignment.agency_id == agency_id)


def _retired(session: Session, scope: Scope, agency_id: int | None) -> int:
    """Real endpoints that were taken out of use, by the agency they belonged to last."""
    last = select(func.max(Assignment.id)).group_by(Assignment.endpoint_id).scalar_subquery()
    query = (
        select(func.count())
        .select_from(Endpoint)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.id.in_(last))
        .where(Endpoint.retired_at.is_not(None), Endpoint.simulated.is_(False), _within(scope, agency_id))
    )
    return session.scalar(query) or 0


def _simulated(session: Session, scope: Scope, agency_id: int | None, limits: Coverage, now: datetime) -> int:
    """What including the simulated would add to the denominator."""
    endpoints = (
        select(func.count())
        .select_from(Endpoint)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Endpoint.retired_at.is_(None), Endpoint.simulated.is_(True), _within(scope, agency_id))
    )
    reach = scope.where(Device.agency_id)
    devices = select(func.count(Device.mac.distinct())).where(
        Device.simulated.is_(True),
        Device.endpoint_id.is_(None),
        Device.kind != "gateway",
        Device.last_seen_at >= now - timedelta(days=limits.device_forgotten_days),
        reach if agency_id is None else reach & (Device.agency_id == agency_id),
    )
    return (session.scalar(endpoints) or 0) + (session.scalar(devices) or 0)
