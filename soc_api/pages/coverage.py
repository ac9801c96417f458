"""The coverage ledger: percentages with their denominators, by agency, down to the machines behind each number."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.coverage.models import AgencyCoverage
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.ledgers import shown_ledger
from soc_api.pages.overview import Figure, figure_of
from soc_api.pages.query import Query
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.COVERAGE_READ))]
_LEVELS = ("tinh", "huyen", "xa")
_SORTS = ("name", "known", "protected", "percent", "declared", "missing")


@dataclass(frozen=True)
class CoverageLine:
    """``code`` is empty for machines that belong to no agency. Percentages are 0 to 100, or None."""

    code: str
    name: str
    level: str
    declared: int | None
    known: int
    protected: int
    by_state: dict[str, int]
    late: int
    network_equipment: int
    percent: float | None
    percent_of_declared: float | None


@dataclass(frozen=True)
class CoveragePage:
    query: Query
    as_of: datetime
    figure: Figure
    national_days: int
    lines: list[CoverageLine]
    agencies_total: int
    agencies_with_protection: int
    simulated: bool
    simulated_machines: int
    level: str
    sort: str
    down: bool


@router.get("/coverage")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("coverage.html", build(visit))


def build(visit: Visit) -> CoveragePage:
    query = visit.query("simulated", "level", "sort")
    simulated = visit.simulated
    level = query.choice("level", _LEVELS)
    down = query.text("sort").startswith("-")
    sort = query.text("sort").removeprefix("-")
    if sort not in _SORTS:
        sort, down = "", False
    with visit.services.state.read() as session:
        book, simulated_machines = shown_ledger(visit, session, simulated=simulated)
    lines = [_line(agency) for agency in book.agencies if level in ("", agency.level)]
    if sort:
        lines.sort(key=lambda line: line.name)
        lines.sort(key=lambda line: _key(line, sort), reverse=down)
    return CoveragePage(
        query=query,
        as_of=book.as_of,
        figure=figure_of(book),
        national_days=book.national_days,
        lines=lines,
        agencies_total=book.agencies_total,
        agencies_with_protection=book.agencies_with_protection,
        simulated=simulated,
        simulated_machines=simulated_machines,
        level=level,
        sort=sort,
        down=down,
    )


def _line(agency: AgencyCoverage) -> CoverageLine:
    counts = agency.counts
    return CoverageLine(
        code=agency.code,
        name=agency.name,
        level=agency.level,
        declared=agency.officials,
        known=counts.known,
        protected=counts.protected,
        by_state=dict(counts.by_state),
        late=counts.late,
        network_equipment=counts.network_equipment,
        percent=counts.percent_of_known,
        percent_of_declared=counts.percent_of_declared,
    )


def _key(line: CoverageLine, sort: str) -> tuple[float, str]:
    """Lines without a number come first when sorting up: nothing known is the worst that can be said."""
    numbers = {
        "known": float(line.known),
        "protected": float(line.protected),
        "percent": -1.0 if line.percent is None else line.percent,
        "declared": float(line.declared or 0),
        "missing": float(line.known - line.protected),
    }
    return (numbers[sort], "") if sort in numbers else (0.0, line.name)
