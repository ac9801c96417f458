"""One rule: its text and revisions, what is set of it, how it fares, and what it found."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.alerts.models import AlertFilters, Page
from collector.alerts.service import list_alerts
from collector.errors import CollectorError
from collector.rulebook.models import Entry
from collector.state.tables import RuleFigures
from rules.catalogue import OWN_RULES
from rules.evidence import evidence_path
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import Fault, InvalidError, SocError
from soc_api.pages import rule_words
from soc_api.pages.query import Query
from soc_api.pages.rows import AlertRow, alert_row
from soc_api.pages.rules import RuleMark, looks_at, mark_of
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit
from soc_api.rulebook.service import RuleDesk, RuleView, difference

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
Manager = Annotated[Principal, Depends(require(Permission.RULES_READ, Permission.RULES_MANAGE))]
ReasonText = Annotated[str, Form(max_length=500)]
_ALERTS = 10


@dataclass(frozen=True)
class Revision:
    """``number`` 0 is the shipped text. ``runs``: it is the one that is set to run."""

    number: int
    author: str
    comment: str
    at: datetime | None
    runs: bool


@dataclass(frozen=True)
class ChangeRow:
    what: str
    detail: str
    who: str
    at: datetime
    applied_at: datetime | None
    refused: str
    refused_line: int | None


@dataclass(frozen=True)
class Figures:
    """Over all time, but for ``hour_*`` of the last hour."""

    offered: int
    candidates: int
    matches: int
    throttled: int
    seconds: float
    hour_matches: int
    hour_microseconds: float
    last_match_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True)
class RulePage:
    """``difference`` is from revision ``compared`` to the text that runs, line by line with its sign; None where
    nothing is compared."""

    query: Query
    id: str
    title: str
    description: str
    level: str
    status: str
    mark: RuleMark
    kind: str
    origin: str
    path: str
    source: str
    pending: bool
    refused: str
    refused_line: int | None
    enabled: bool
    throttle: int | None
    shipped: bool
    revision: int
    has_evidence: bool
    text: str
    revisions: list[Revision]
    compared: int | None
    difference: list[tuple[str, str]]
    changes: list[ChangeRow]
    figures: Figures
    techniques: list[str]
    targets: list[TargetQuote]
    triage: list[str]
    false_positives: list[str]
    references: list[tuple[str, str]]
    needed_by: list[tuple[str, str]]
    alerts: list[AlertRow]
    may_manage: bool
    may_hunt: bool
    problem: str
    reason: str


@router.get("/rules/{rule_id}")
def show(rule_id: str, request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("rule.html", build(visit, rule_id))


@router.post("/rules/{rule_id}/enable")
def enable(
    rule_id: str, request: Request, services: RequestServices, principal: Manager, reason: ReasonText = ""
) -> Response:
    visit = Visit(request, services, principal)
    return _change(visit, rule_id, reason, lambda desk: desk.enable(rule_id, reason))


@router.post("/rules/{rule_id}/disable")
def disable(
    rule_id: str, request: Request, services: RequestServices, principal: Manager, reason: ReasonText = ""
) -> Response:
    visit = Visit(request, services, principal)
    return _change(visit, rule_id, reason, lambda desk: desk.disable(rule_id, reason))


@router.post("/rules/{rule_id}/revert")
def revert(
    rule_id: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    to: Annotated[int, Form(ge=0)],
    reason: ReasonText = "",
) -> Response:
    visit = Visit(request, services, principal)
    return _change(visit, rule_id, reason, lambda desk: desk.revert(rule_id, to, reason))


@router.post("/rules/{rule_id}/throttle")
def throttle(
    rule_id: str,
    request: Request,
    services: RequestServices,
    principal: Manager,
    an_hour: Annotated[str, Form(max_length=12)] = "",
    reason: ReasonText = "",
) -> Response:
    visit = Visit(request, services, principal)
    return _change(visit, rule_id, reason, lambda desk: desk.throttle(rule_id, _limit(an_hour), reason))


def _limit(text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidError(Fault("body.an_hour", "a whole number; empty for no limit"))
    return int(text)


def _change(visit: Visit, rule_id: str, reason: str, change: Callable[[RuleDesk], None]) -> Response:
    try:
        change(RuleDesk.of(visit.services, visit.principal))
    except (CollectorError, SocError) as error:
        page = build(visit, rule_id, problem=str(error), reason=reason)
        return visit.answer("rule.html", page, status=409 if isinstance(error, CollectorError) else 422)
    return visit.back_to(f"/rules/{rule_id}")


def build(visit: Visit, rule_id: str, *, problem: str = "", reason: str = "") -> RulePage:
    """Raises :class:`collector.errors.NotFoundError` where there is no such rule."""
    t, principal = visit.t, visit.principal
    desk = RuleDesk.of(visit.services, principal)
    view = desk.view(rule_id)
    entry, info, setting, row = view.entry, view.entry.info, view.entry.setting, view.figures
    query = visit.query("compare", "simulated")
    revisions = _revisions(view)
    compared = _compared(query, revisions, setting.revision)
    line = desk.line(entry, row)
    book = desk.live.book
    return RulePage(
        query=query,
        id=entry.id,
        title=t.either(info.title) or entry.id,
        description=t.either(info.description),
        level=info.level,
        status=info.status,
        mark=mark_of(visit, view.state),
        kind=t(rule_words.KINDS[entry.kind]),
        origin=t(rule_words.ORIGINS[entry.origin]),
        path=_path(entry, may_manage=principal.may(Permission.RULES_MANAGE)),
        source=looks_at(visit, info),
        pending=view.pending,
        refused="" if view.refused is None else view.refused.message,
        refused_line=None if view.refused is None else view.refused.line or None,
        enabled=setting.enabled,
        throttle=setting.throttle,
        shipped=entry.shipped,
        revision=setting.revision,
        has_evidence=_has_evidence(view),
        text=view.text,
        revisions=revisions,
        compared=compared,
        difference=[] if compared is None else difference(desk.text_of(rule_id, compared), view.text),
        changes=[
            ChangeRow(
                t(rule_words.CHANGES[change.what]) if change.what in rule_words.CHANGES else change.what,
                _detail(visit, change.what, change.detail),
                change.made_by,
                change.made_at,
                change.applied_at,
                change.refused,
                change.refused_line,
            )
            for change in view.changes
        ],
        figures=_figures(row, line.hour_matches, line.hour_microseconds),
        techniques=list(info.techniques),
        targets=quotes(info.targets),
        triage=list(info.triage.get(t.lang) or info.triage.get("en") or ()),
        false_positives=list(info.falsepositives.get(t.lang) or info.falsepositives.get("en") or ()),
        references=[
            (other.id, t.either(other.info.title))
            for name in info.references
            if (other := book.named(name)) is not None
        ],
        needed_by=[(other.id, t.either(other.info.title)) for other in book.needed_by(rule_id)],
        alerts=_alerts(visit, rule_id),
        may_manage=principal.may(Permission.RULES_MANAGE),
        may_hunt="hunts.run" in principal.permissions,
        problem=problem,
        reason=reason,
    )


def _path(entry: Entry, *, may_manage: bool) -> str:
    """Where the shipped text lies: within our own rules; for others the whole path is for who manages them."""
    path = Path(entry.path)
    if not entry.path or entry.origin == "own":
        return str(path.relative_to(OWN_RULES)) if path.is_relative_to(OWN_RULES) else path.name
    return entry.path if may_manage else path.name


def _detail(visit: Visit, what: str, detail: str) -> str:
    t = visit.t
    if what in {"write", "revert"}:
        return t("Shipped text") if detail == "0" else t("Revision %(number)s", number=detail)
    if what == "throttle":
        return t("%(num)s an hour", num=detail) if detail else t("No limit")
    return detail


def _figures(row: RuleFigures | None, hour_matches: int, hour_microseconds: float) -> Figures:
    if row is None:
        return Figures(0, 0, 0, 0, 0.0, 0, 0.0, None, None)
    return Figures(
        row.offered,
        row.candidates,
        row.matches,
        row.throttled,
        row.seconds,
        hour_matches,
        hour_microseconds,
        row.last_match_at,
        row.updated_at,
    )


def _revisions(view: RuleView) -> list[Revision]:
    runs = view.entry.setting.revision
    found = [
        Revision(row.number, row.author, row.comment, row.created_at, row.number == runs)
        for row in view.revisions
    ]
    return [*found, Revision(0, "", "", None, runs == 0)] if view.entry.shipped else found


def _compared(query: Query, revisions: list[Revision], runs: int) -> int | None:
    wanted = query.number("compare", -1, lowest=0)
    return wanted if wanted != runs and any(each.number == wanted for each in revisions) else None


def _has_evidence(view: RuleView) -> bool:
    if view.entry.setting.revision:
        return bool(view.evidence.strip())
    return bool(view.entry.path) and evidence_path(Path(view.entry.path)).is_file()


def _alerts(visit: Visit, rule_id: str) -> list[AlertRow]:
    if not visit.principal.may(Permission.ALERTS_READ):
        return []
    filters = AlertFilters(rule_ids=(rule_id,), simulated=None if visit.simulated else False)
    with visit.services.state.read() as session:
        found = list_alerts(session, visit.principal.scope, filters, Page(_ALERTS))
    return [alert_row(alert, visit.services.catalogue, {}, visit.t) for alert in found.alerts]
