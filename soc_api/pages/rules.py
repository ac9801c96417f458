"""The rules, listed: what runs, how it fares, and what it is for."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import func, select
from starlette.responses import Response

from collector.rulebook.models import ORIGINS
from collector.state.tables import Alert
from rules.catalogue import LEVELS, RuleInfo
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages import rule_words
from soc_api.pages.query import Query, Slice
from soc_api.pages.targets import TargetQuote, quotes
from soc_api.pages.visit import Visit
from soc_api.rulebook.service import RuleDesk, RuleLine

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
_ROWS = 100
_BROKEN = 20


@dataclass(frozen=True)
class RuleMark:
    """How a rule fares, for ``ui``: the word, what it means, and how it looks."""

    code: str
    word: str
    meaning: str
    tag: str
    icon: str


@dataclass(frozen=True)
class RuleRow:
    """``matches`` and ``seconds`` are over all time, of what the worker has written down."""

    id: str
    title: str
    description: str
    level: str
    status: str
    mark: RuleMark
    changed_here: bool
    throttle: int | None
    source: str
    techniques: list[str]
    targets: list[TargetQuote]
    triage: list[str]
    false_positives: list[str]
    clears: bool
    alerts: int
    matches: int
    seconds: float


@dataclass(frozen=True)
class RulesPage:
    """``by_state`` counts all rules; ``sorts`` and the like are tables of code to word. ``broken``: files that cannot
    be read, with line and reason."""

    query: Query
    rows: list[RuleRow]
    slice: Slice
    level: str
    state: str
    origin: str
    sort: str
    text: str
    total: int
    troubled: int
    states: dict[str, str]
    origins: dict[str, str]
    sorts: dict[str, str]
    may_manage: bool
    broken: list[str]


@router.get("/rules")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("rules.html", build(visit))


def build(visit: Visit) -> RulesPage:
    query = visit.query("level", "state", "origin", "sort", "text", "page")
    level, text = query.choice("level", LEVELS), query.text("text")
    state, origin = query.choice("state", rule_words.STATES), query.choice("origin", ORIGINS)
    sort = query.choice("sort", rule_words.SORTS, "level")
    with visit.services.state.read() as session:
        reach = visit.principal.scope.where(Alert.agency_id)
        counted = select(Alert.rule_id, func.count()).where(reach).group_by(Alert.rule_id)
        alerts = dict(session.execute(counted).all())
    desk = RuleDesk.of(visit.services, visit.principal)
    every = [
        line
        for line in desk.lines("title" if sort == "level" else sort, lang=visit.t.lang)
        if not line.entry.info.internal
    ]
    found = [
        line
        for line in every
        if (not level or line.entry.info.level == level)
        and (not state or line.state == state)
        and (not origin or line.entry.origin == origin)
        and _holds(line.entry.info, text.casefold())
    ]
    if sort == "level":
        found.sort(key=lambda line: -_rank(line.entry.info.level))
    part = Slice(query.number("page", 1), _ROWS, len(found))
    return RulesPage(
        query=query,
        rows=[
            _row(visit, line, alerts.get(line.entry.id, 0))
            for line in found[part.offset : part.offset + _ROWS]
        ],
        slice=part,
        level=level,
        state=state,
        origin=origin,
        sort=sort,
        text=text,
        total=sum(line.entry.active for line in every),
        troubled=sum(line.state in {"slow", "noisy", "refused"} for line in every),
        states={code: visit.t(word) for code, word in rule_words.STATES.items()},
        origins={code: visit.t(word) for code, word in rule_words.ORIGINS.items()},
        sorts={code: visit.t(word) for code, word in rule_words.SORTS.items()},
        may_manage=visit.principal.may(Permission.RULES_MANAGE),
        broken=[str(each) for each in desk.live.book.broken[:_BROKEN]],
    )


def mark_of(visit: Visit, state: str) -> RuleMark:
    return RuleMark(
        state,
        visit.t(rule_words.STATES[state]),
        visit.t(rule_words.STATE_MEANINGS[state]),
        rule_words.STATE_TAGS[state],
        rule_words.STATE_ICONS[state],
    )


def looks_at(visit: Visit, rule: RuleInfo) -> str:
    """The log source in words."""
    source = rule.logsource
    names = (source.get(name, "") for name in ("product", "category", "service"))
    return visit.words.source(*names) or visit.t("correlation")


def _row(visit: Visit, line: RuleLine, alerts: int) -> RuleRow:
    t, entry, rule = visit.t, line.entry, line.entry.info
    return RuleRow(
        id=rule.id,
        title=t.either(rule.title),
        description=t.either(rule.description),
        level=rule.level,
        status=rule.status,
        mark=mark_of(visit, line.state),
        changed_here=bool(entry.setting.revision) and entry.shipped,
        throttle=entry.setting.throttle,
        source=looks_at(visit, rule),
        techniques=list(rule.techniques),
        targets=quotes(rule.targets),
        triage=list(rule.triage.get(t.lang) or rule.triage.get("en") or ()),
        false_positives=list(rule.falsepositives.get(t.lang) or ()),
        clears=rule.clears,
        alerts=alerts,
        matches=0 if line.figures is None else line.figures.matches,
        seconds=0.0 if line.figures is None else line.figures.seconds,
    )


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def _holds(rule: RuleInfo, wanted: str) -> bool:
    texts = (*rule.title.values(), *rule.description.values(), *rule.tags, *rule.targets, rule.id, rule.name)
    return not wanted or any(wanted in text.casefold() for text in texts)
