"""Reports for whoever is signed in, cut to the agencies they may see."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Response

from soc_api.accounts import audit
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import SocError
from soc_api.i18n import Language
from soc_api.reports.errors import ReportError
from soc_api.reports.service import ALL_AGENCIES, MEDIA_TYPES, Format, coverage_report, file_name, render

router = APIRouter(prefix="/reports", tags=["reports"])

_READ: Final = Depends(require(Permission.REPORTS_READ))


class ReportUnavailableError(SocError):
    """The server lacks something that the format needs; the reason says what."""

    status = 503
    problem = "urn:vonggac:problem:report"
    title = "The report cannot be made"


@router.get("/coverage", response_class=Response)
def coverage(
    services: RequestServices,
    principal: Annotated[Principal, _READ],
    agency: Annotated[str, Query(max_length=100)] = ALL_AGENCIES,
    format: Format = "pdf",  # noqa: A002 - the parameter's name in the address
    simulated: Literal["0", "1"] = "0",
    lang: Language = "vi",
    number: Annotated[int | None, Query(ge=1, le=99_999)] = None,
) -> Response:
    """The coverage report as a file: of one agency by its code, or of all that the caller may see.

    ``simulated=1`` counts simulated machines too, and the report then says so on its face. ``number`` is the
    document's number in the office's register; without it a gap is left.
    """
    now = services.clock()
    with services.state.read() as session:
        report = coverage_report(
            session,
            principal.scope,
            services.settings.coverage,
            now,
            agency_code=agency,
            include_simulated=simulated == "1",
        )
    try:
        content = render(report, services.settings.report, format, lang, number)
    except ReportError as error:
        raise ReportUnavailableError(str(error)) from error
    with services.state.write() as session:
        audit.record(
            session,
            now,
            principal.username,
            "report.coverage",
            report.scope_code or ALL_AGENCIES,
            address=principal.address,
            format=format,
            simulated=simulated == "1",
        )
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(report, format)}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)
