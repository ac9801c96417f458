"""Write a rule, or a new text of one: checked with its lines, tried on recent events, then stored. Works without
scripts."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError
from collector.rulebook.errors import RuleRefusedError
from collector.rulebook.models import Checked, TextFault
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import SocError
from soc_api.hunting.dry_run import DryRun, dry_run
from soc_api.pages.visit import Visit, back_to
from soc_api.rulebook.service import RuleDesk

router = APIRouter()
Manager = Annotated[Principal, Depends(require(Permission.RULES_READ, Permission.RULES_MANAGE))]
Text = Annotated[str, Form(max_length=262_144)]
_AROUND = 2


@dataclass(frozen=True)
class FaultRow:
    """``lines`` are those around the fault: number, text, and whether it is the one."""

    severity: str
    part: str
    line: int
    message: str
    lines: list[tuple[int, str, bool]]


@dataclass(frozen=True)
class RuleEditPage:
    """``id`` is empty for a new rule. ``checked``: the text was looked at, and ``faults`` is what was found.
    ``cases`` of evidence held."""

    id: str = ""
    title: str = ""
    text: str = ""
    evidence: str = ""
    comment: str = ""
    based_on: int = 0
    checked: bool = False
    sound: bool = False
    faults: list[FaultRow] = field(default_factory=list)
    cases: int = 0
    tried: DryRun | None = None
    problem: str = ""


@router.get("/rules/new")
def show_new(request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("rule_edit.html", RuleEditPage())


@router.post("/rules/new")
def write_new(
    request: Request,
    services: RequestServices,
    principal: Manager,
    text: Text = "",
    evidence: Text = "",
    comment: Annotated[str, Form(max_length=500)] = "",
    action: Annotated[str, Form(max_length=10)] = "check",
) -> Response:
    visit = Visit(request, services, principal)
    return _answer(visit, RuleEditPage(text=text, evidence=evidence, comment=comment), action)


@router.get("/rules/{rule_id}/edit")
def show(rule_id: str, request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    view = RuleDesk.of(services, principal).view(rule_id)
    page = RuleEditPage(
        id=rule_id,
        title=visit.t.either(view.entry.info.title),
        text=view.text,
        evidence=view.evidence,
        based_on=view.entry.setting.revision,
    )
    return visit.answer("rule_edit.html", page)


@router.post("/rules/{rule_id}/edit")
def write(
    rule_id: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    based_on: Annotated[int, Form(ge=0)],
    text: Text = "",
    evidence: Text = "",
    comment: Annotated[str, Form(max_length=500)] = "",
    action: Annotated[str, Form(max_length=10)] = "check",
) -> Response:
    visit = Visit(request, services, principal)
    entry = RuleDesk.of(services, principal).entry(rule_id)
    page = RuleEditPage(
        id=rule_id,
        title=visit.t.either(entry.info.title),
        text=text,
        evidence=evidence,
        comment=comment,
        based_on=based_on,
    )
    return _answer(visit, page, action)


def _answer(visit: Visit, page: RuleEditPage, action: str) -> Response:
    desk = RuleDesk.of(visit.services, visit.principal)
    text, evidence = (each.replace("\r\n", "\n") for each in (page.text, page.evidence))
    problem, status = "", 200
    try:
        if action == "save":
            based_on = page.based_on if page.id else None
            revision, _ = desk.write(
                text, evidence=evidence, comment=page.comment, based_on=based_on, rule_id=page.id
            )
            return back_to(f"/rules/{revision.rule_id}")
        checked = desk.check(text, evidence, page.id)
    except RuleRefusedError as error:
        checked, status = Checked(None, error.faults), 422
    except (CollectorError, SocError) as error:
        problem, checked = str(error), Checked(None, ())
        status = 409 if isinstance(error, CollectorError) else 422
    tried = None
    if checked.info is not None and not checked.errors:
        tried = dry_run(visit.services, visit.principal, text, simulated=visit.simulated)
    if tried is not None and tried.not_made:
        tried = replace(tried, not_made=visit.t(tried.not_made))
    made = replace(
        page,
        text=text,
        evidence=evidence,
        checked=not problem,
        sound=not problem and not checked.errors,
        faults=[_fault(fault, text, evidence) for fault in checked.faults],
        cases=checked.cases,
        tried=tried,
        problem=problem,
    )
    return visit.answer("rule_edit.html", made, status=status)


def _fault(fault: TextFault, text: str, evidence: str) -> FaultRow:
    lines = (evidence if fault.part == "evidence" else text).splitlines()
    near = (
        range(max(1, fault.line - _AROUND), min(len(lines), fault.line + _AROUND) + 1) if fault.line else ()
    )
    around = [(number, lines[number - 1], number == fault.line) for number in near]
    return FaultRow(fault.severity, fault.part, fault.line, fault.message, around)
