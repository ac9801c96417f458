"""The rules, listed from the catalogue that the engine's own files make."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from starlette.responses import Response

from collector.state.tables import Alert
from rules.catalogue import LEVELS, RuleInfo
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.query import Query, Slice
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
_ROWS = 100


@dataclass(frozen=True)
class RuleRow:
    id: str
    title: str
    description: str
    level: str
    status: str
    source: str
    techniques: list[str]
    targets: list[TargetQuote]
    triage: list[str]
    false_positives: list[str]
    clears: bool
    alerts: int


@dataclass(frozen=True)
class RulesPage:
    query: Query
    rows: list[RuleRow]
    slice: Slice
    level: str
    text: str
    total: int


@router.get("/rules")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("rules.html", build(visit))


def build(visit: Visit) -> RulesPage:
    query = visit.query("level", "text", "page")
    level, text = query.choice("level", LEVELS), query.text("text")
    with visit.services.state.read() as session:
        reach = visit.principal.scope.where(Alert.agency_id)
        counted = select(Alert.rule_id, func.count()).where(reach).group_by(Alert.rule_id)
        alerts = dict(session.execute(counted).all())
    every = [rule for rule in visit.services.catalogue.values() if not rule.internal]
    found = [rule for rule in every if (not level or rule.level == level) and _holds(rule, text.casefold())]
    found.sort(
        key=lambda rule: (
            -LEVELS.index(rule.level) if rule.level in LEVELS else 1,
            visit.t.either(rule.title),
        )
    )
    part = Slice(query.number("page", 1), _ROWS, len(found))
    return RulesPage(
        query=query,
        rows=[_row(visit, rule, alerts.get(rule.id, 0)) for rule in found[part.offset : part.offset + _ROWS]],
        slice=part,
        level=level,
        text=text,
        total=len(every),
    )


def _row(visit: Visit, rule: RuleInfo, alerts: int) -> RuleRow:
    t, source = visit.t, rule.logsource
    return RuleRow(
        id=rule.id,
        title=t.either(rule.title),
        description=t.either(rule.description),
        level=rule.level,
        status=rule.status,
        source=visit.words.source(
            source.get("product", ""), source.get("category", ""), source.get("service", "")
        )
        or t("correlation"),
        techniques=list(rule.techniques),
        targets=quotes(rule.targets),
        triage=list(rule.triage.get(t.lang) or rule.triage.get("en") or ()),
        false_positives=list(rule.falsepositives.get(t.lang) or ()),
        clears=rule.clears,
        alerts=alerts,
    )


def _holds(rule: RuleInfo, wanted: str) -> bool:
    texts = (*rule.title.values(), *rule.description.values(), *rule.tags, *rule.targets, rule.id)
    return not wanted or any(wanted in text.casefold() for text in texts)
