"""A rule tried on history: hits a day, and what it would have found. Works without scripts."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from collector.errors import CollectorError
from collector.state.tables import Endpoint
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import SocError
from soc_api.hunting.desk import HuntDesk
from soc_api.hunting.models import Answer, Found
from soc_api.i18n import N_
from soc_api.pages.query import Query
from soc_api.pages.render import to_json
from soc_api.pages.rows import EventRow, event_fields, event_summary, rule_title
from soc_api.pages.visit import Visit

router = APIRouter()
Hunter = Annotated[Principal, Depends(require(Permission.RULES_READ, Permission.HUNTS_RUN))]
SPANS: Final = {
    "1d": N_("The last day"),
    "7d": N_("The last 7 days"),
    "30d": N_("The last 30 days"),
    "90d": N_("The last 90 days"),
}
STOPPED: Final = {
    "time": N_("It was stopped after a minute. Choose a shorter time."),
    "rows": N_(
        "It was stopped: too many events would have to be looked at one by one."
        " Choose a shorter time or make the rule narrower."
    ),
    "cancelled": N_("It was stopped before it was done."),
}
_FOUND: Final = 50
_SECONDS: Final = 60.0
_MAX_TEXT: Final = 200_000


@dataclass(frozen=True)
class DayRow:
    day: datetime
    hits: int


@dataclass(frozen=True)
class FoundRow:
    """``link`` leads to the machine; ``group`` and ``events`` are a correlation's."""

    event: EventRow
    machine: str
    link: str
    group: str
    events: int


@dataclass(frozen=True)
class HuntResult:
    days: list[DayRow]
    most: int
    found: list[FoundRow]
    hits: int
    average: float
    stopped: str
    covered_since: datetime
    covered_until: datetime
    checked: int
    seconds: float


@dataclass(frozen=True)
class HuntPage:
    """``rule``: a known rule's id, or ``text`` its YAML. ``problem`` is the server's own English sentence."""

    query: Query
    rule: str
    title: str
    text: str
    since: str
    preview: bool
    rules: list[tuple[str, str]]
    spans: dict[str, str] = field(default_factory=lambda: dict(SPANS))
    result: HuntResult | None = None
    problem: str = ""


@router.get("/hunt")
def show(request: Request, services: RequestServices, principal: Hunter) -> Response:
    visit = Visit(request, services, principal)
    query = visit.query("rule", "simulated")
    return visit.answer("hunt.html", _page(visit, query.text("rule"), "", "30d", preview=False))


@router.post("/hunt")
async def run(
    request: Request,
    services: RequestServices,
    principal: Hunter,
    rule: Annotated[str, Form(max_length=200)] = "",
    text: Annotated[str, Form(max_length=_MAX_TEXT)] = "",
    since: Annotated[str, Form(max_length=10)] = "30d",
    preview: Annotated[str, Form(max_length=1)] = "",
    simulated: Annotated[str, Form(max_length=4)] = "",
) -> Response:
    """Hunts and shows what came of it; nothing is changed, so that loading again hunts again."""
    visit = Visit(request, services, principal)
    span = since if since in SPANS else "30d"
    rule, text = rule.strip(), text.replace("\r\n", "\n")
    desk = HuntDesk.of(services, principal)
    result, problem, status = None, "", 200
    try:
        question = desk.question(
            span, "", limit=0 if preview else _FOUND, simulated=bool(simulated), seconds=_SECONDS
        )
        # A text that was pasted counts, whatever rule is chosen beside it.
        pasted = bool(text.strip())
        answer = await desk.answer(
            request, question, rule_id="" if pasted else rule, text=text if pasted else ""
        )
        result = await run_in_threadpool(_result, visit, answer)
    except (CollectorError, SocError) as error:
        problem, status = str(error), 422

    def shown() -> Response:
        page = _page(visit, rule, text, span, preview=bool(preview), result=result, problem=problem)
        return visit.answer("hunt.html", page, status=status)

    return await run_in_threadpool(shown)


def _page(
    visit: Visit,
    rule: str,
    text: str,
    since: str,
    *,
    preview: bool,
    result: HuntResult | None = None,
    problem: str = "",
) -> HuntPage:
    catalogue = visit.services.catalogue
    known = [(each.id, visit.t.either(each.title)) for each in catalogue.values()]
    return HuntPage(
        query=visit.query("rule", "simulated"),
        rule=rule if rule in catalogue else "",
        title=rule_title(catalogue, rule, visit.t) if rule in catalogue else "",
        text=text,
        since=since,
        preview=preview,
        rules=sorted(known, key=lambda each: each[1].casefold()),
        result=result,
        problem=problem,
    )


def _result(visit: Visit, answer: Answer) -> HuntResult:
    days = [
        DayRow(datetime.fromisoformat(f"{each.day}T12:00:00+07:00"), each.hits)
        for each in reversed(answer.days)
    ]
    ids = {each.endpoint_id for each in answer.found}
    names: dict[str, str] = {}
    if ids:
        with visit.services.state.read() as session:
            rows = session.execute(select(Endpoint.id, Endpoint.hostname).where(Endpoint.id.in_(ids)))
            names = {row[0]: row[1] for row in rows}
    return HuntResult(
        days=days,
        most=max((each.hits for each in days), default=0),
        found=[_row(visit, each, names) for each in answer.found],
        hits=answer.hits,
        average=answer.hits / max(len(days), 1),
        stopped=STOPPED.get(answer.stopped, answer.stopped),
        covered_since=answer.covered_since,
        covered_until=answer.covered_until,
        checked=answer.checked,
        seconds=answer.seconds,
    )


def _row(visit: Visit, found: Found, names: dict[str, str]) -> FoundRow:
    fields = dict(found.fields)
    return FoundRow(
        event=EventRow(
            id=found.event_id,
            time=found.time,
            source=visit.words.source(found.product, found.category, found.service),
            summary=event_summary(fields, visit.words) or found.event_id,
            fields=event_fields(fields, visit.words),
            rules=[],
            raw=to_json(fields),
        ),
        machine=names.get(found.endpoint_id, found.endpoint_id),
        link=f"/endpoints/{found.endpoint_id}?tab=events" if found.endpoint_id in names else "",
        group=", ".join(f"{name}: {value}" for name, value in found.group.items()),
        events=found.events,
    )
