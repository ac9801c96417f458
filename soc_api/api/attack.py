"""Coverage of MITRE ATT&CK by the rules of this installation: mapped, and evidence-tested."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import JSONResponse

from rules.attack import Cell, navigator_layer
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Shape
from soc_api.attack.service import Coverage, coverage_here
from soc_api.services import Services

router = APIRouter(prefix="/attack", tags=["rules"])
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
Scope = Annotated[
    Literal["running", "received"],
    Query(
        description="`running`: all rules that run; `received`: of those, the ones whose data arrives here."
    ),
]


class TechniqueShape(Shape):
    id: str
    name: str
    state: str = Field(description="`none`, `mapped` (a rule names it) or `tested` (and its evidence fires).")
    mapped: list[str] = Field(description="Ids of the rules that name it or one of its sub-techniques.")
    tested: list[str] = Field(description="Those of them whose evidence fires.")
    parts: list["TechniqueShape"] = Field(default=[], description="Sub-techniques.")


class TacticShape(Shape):
    key: str
    id: str
    name: dict[str, str] = Field(description="By language: `vi`, `en`.")
    techniques: list[TechniqueShape]


class AttackShape(Shape):
    version: str = Field(description="Of ATT&CK for Enterprise.")
    scope: str
    received_known: bool = Field(description="Whether the event store could say what arrives.")
    rules: int = Field(description="How many were looked at.")
    tested_rules: int
    not_received: int = Field(description="Rules left out because their data does not arrive here.")
    unplaced: list[str] = Field(description="Rules that name no technique.")
    unknown: list[str] = Field(description="Techniques that rules name and this version does not have.")
    counts: dict[str, int] = Field(description="Techniques by state, each counted once.")
    tactics: list[TacticShape]


@router.get("")
def get_coverage(services: RequestServices, principal: Reader, scope: Scope = "running") -> AttackShape:  # noqa: ARG001 - the permission
    """The matrix: tactics, their techniques, and the rules that stand behind each."""
    found = _found(services, scope)
    matrix = found.matrix
    return AttackShape(
        version=matrix.version,
        scope=scope,
        received_known=found.known,
        rules=matrix.rules,
        tested_rules=matrix.tested_rules,
        not_received=found.not_received,
        unplaced=list(matrix.unplaced),
        unknown=list(matrix.unknown),
        counts={state: matrix.techniques(state) for state in ("tested", "mapped", "none")},
        tactics=[
            TacticShape(
                key=column.tactic.key,
                id=column.tactic.id,
                name=dict(column.tactic.name),
                techniques=[_technique(cell) for cell in column.cells],
            )
            for column in matrix.columns
        ],
    )


@router.get("/layer")
def get_layer(services: RequestServices, principal: Reader, scope: Scope = "running") -> JSONResponse:  # noqa: ARG001 - the permission
    """The same as a layer of ATT&CK Navigator (format 4.5), as a file."""
    layer: dict[str, Any] = navigator_layer(
        _found(services, scope).matrix, "Vọng Gác", f"Rules of this installation ({scope})"
    )
    return JSONResponse(layer, headers={"Content-Disposition": 'attachment; filename="vonggac-attack.json"'})


def _found(services: Services, scope: str) -> Coverage:
    return coverage_here(services.state, services.rules, services.arrivals, scope)


def _technique(cell: Cell) -> TechniqueShape:
    return TechniqueShape(
        id=cell.technique.id,
        name=cell.technique.name,
        state=cell.state,
        mapped=list(cell.mapped),
        tested=list(cell.tested),
        parts=[_technique(part) for part in cell.parts],
    )
