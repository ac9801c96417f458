"""ATT&CK's matrix: which techniques our rules see, and which of them are proven by evidence."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from rules.attack import Cell, Matrix
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.attack.service import SCOPES, coverage_here
from soc_api.pages.query import Query
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
_SHOWN = ("covered", "tested", "mapped", "all")


@dataclass(frozen=True)
class AttackCell:
    id: str
    name: str
    state: str
    mapped: int
    tested: int
    parts: list["AttackCell"]


@dataclass(frozen=True)
class AttackColumn:
    """``tested``, ``mapped``, ``none``: how many of the tactic's techniques; ``cells`` only those that are shown."""

    key: str
    id: str
    name: str
    tested: int
    mapped: int
    none: int
    cells: list[AttackCell]


@dataclass(frozen=True)
class AttackPage:
    """``height``: cells of the tallest column. The three counts are of techniques, each counted once."""

    query: Query
    version: str
    scope: str
    known: bool
    show: str
    columns: list[AttackColumn]
    height: int
    tested: int
    mapped: int
    none: int
    rules: int
    tested_rules: int
    not_received: int
    unplaced: int
    unknown: list[str]

    @property
    def techniques(self) -> int:
        return self.tested + self.mapped + self.none


@router.get("/attack")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("attack.html", build(visit))


def build(visit: Visit) -> AttackPage:
    query = visit.query("scope", "show")
    scope = query.choice("scope", SCOPES) or SCOPES[0]
    shown = query.choice("show", _SHOWN) or _SHOWN[0]
    services = visit.services
    found = coverage_here(services.state, services.rules, services.arrivals, scope)
    columns = _columns(found.matrix, shown, visit.t.lang)
    matrix = found.matrix
    return AttackPage(
        query=query,
        version=matrix.version,
        scope=scope,
        known=found.known,
        show=shown,
        columns=columns,
        height=max(len(column.cells) for column in columns),
        tested=matrix.techniques("tested"),
        mapped=matrix.techniques("mapped"),
        none=matrix.techniques("none"),
        rules=matrix.rules,
        tested_rules=matrix.tested_rules,
        not_received=found.not_received,
        unplaced=len(matrix.unplaced),
        unknown=list(matrix.unknown),
    )


def _columns(matrix: Matrix, shown: str, lang: str) -> list[AttackColumn]:
    return [
        AttackColumn(
            key=column.tactic.key,
            id=column.tactic.id,
            name=column.tactic.name[lang],
            tested=column.count("tested"),
            mapped=column.count("mapped"),
            none=column.count("none"),
            cells=[_cell(cell, shown) for cell in column.cells if _is_shown(cell, shown)],
        )
        for column in matrix.columns
    ]


def _cell(cell: Cell, shown: str) -> AttackCell:
    return AttackCell(
        id=cell.technique.id,
        name=cell.technique.name,
        state=cell.state,
        mapped=len(cell.mapped),
        tested=len(cell.tested),
        parts=[_cell(part, shown) for part in cell.parts if part.mapped],
    )


def _is_shown(cell: Cell, shown: str) -> bool:
    return shown == "all" or cell.state == shown or (shown == "covered" and cell.state != "none")
