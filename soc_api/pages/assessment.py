"""Configuration assessment over all endpoints: which checks fail where, how to mend it, and what each machine says."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from collector.errors import CollectorError, ConflictError
from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Number
from soc_api.assessment import exceptions
from soc_api.assessment.exceptions import MOST_DAYS, Granted
from soc_api.assessment.service import STANDINGS, CheckSum, Standing, assessed, evidence, sum_up
from soc_api.assessment.written import WrittenCheck, shipped_checks
from soc_api.errors import SocError
from soc_api.i18n import Translator
from soc_api.pages.forms import end_of_day
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit, back_to, status_of

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Excepter = Annotated[Principal, Depends(require(Permission.CHECKS_EXCEPT))]
_PATH = "/assessment"
_ROWS = 50
_IMPORTANCES = ("high", "medium", "low")
_LEVELS = ("1", "2")


@dataclass(frozen=True)
class CheckLine:
    """One check over the machines that the filters leave. ``percent`` is how many passed of all to which it applies,
    excepted and unknown ones too (0 to 100)."""

    key: str
    title: str
    set: str
    importance: str
    failed: int
    unknown: int
    passed: int
    excepted: int
    not_applicable: int
    percent: float | None


@dataclass(frozen=True)
class AgencyLine:
    code: str
    name: str
    failed: int
    told: int


@dataclass(frozen=True)
class MachineLine:
    """``standing`` is what the machine's agent says, or said before it fell ``silent``: hostile."""

    id: str
    name: str
    agency: str
    simulated: bool
    silent: bool
    standing: Standing


@dataclass(frozen=True)
class ExceptionLine:
    """An exception that holds, with the check's title; its reason is what somebody wrote."""

    granted: Granted
    key: str
    title: str


@dataclass(frozen=True)
class CheckWords:
    """A check's words in the reader's language; those of a check of another version are empty but for the title."""

    title: str
    why: str
    remedy: str
    importance: str
    levels: list[int]
    references: list[str]


@dataclass(frozen=True)
class AssessmentPage:
    """Without ``check`` the list of checks; with it that check, the agencies, and its machines at ``result``."""

    query: Query
    machines: int
    lines: list[CheckLine]
    sets: list[str]
    set: str
    importance: str
    level: str
    agency: str
    simulated: str
    agencies: list[Choice]
    check: CheckLine | None = None
    words: CheckWords | None = None
    result: str = STANDINGS[0]
    by_agency: list[AgencyLine] = field(default_factory=list)
    rows: list[MachineLine] = field(default_factory=list)
    slice: Slice = field(default_factory=lambda: Slice(1, _ROWS, 0))
    exceptions: list[ExceptionLine] = field(default_factory=list)
    may_except: bool = False
    most_days: int = MOST_DAYS
    refused: str = ""


@router.get("/assessment")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("assessment.html", build(visit))


@router.post("/assessment/exceptions")
def grant(
    request: Request,
    services: RequestServices,
    principal: Excepter,
    check: Annotated[str, Form(max_length=200)] = "",
    agency: Annotated[str, Form(max_length=64)] = "",
    endpoint_id: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=4000)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    visit = Visit(request, services, principal)
    name, _, written = check.partition(".")
    try:
        with services.state.write() as session:
            exceptions.grant(
                session,
                principal,
                (name, written),
                agency_code=agency,
                endpoint_id=endpoint_id.strip(),
                reason=reason,
                expires_at=end_of_day("until", until),
                now=visit.now,
            )
    except (CollectorError, SocError) as error:
        return _refused(visit, error)
    return _back(visit, check)


@router.post("/assessment/exceptions/{exception_id}/end")
def end(exception_id: Number, request: Request, services: RequestServices, principal: Excepter) -> Response:
    visit = Visit(request, services, principal)
    try:
        with services.state.write() as session:
            ended = exceptions.end(session, principal, exception_id, visit.now)
    except ConflictError as error:
        return _refused(visit, error)
    return _back(visit, f"{ended.set}.{ended.check}")


def _back(visit: Visit, check: str) -> Response:
    return back_to(f"{_PATH}?check={quote(check)}" + ("&simulated=1" if visit.simulated else ""))


def _refused(visit: Visit, error: Exception) -> Response:
    return visit.answer("assessment.html", build(visit, refused=str(error)), status=status_of(error))


def build(visit: Visit, *, refused: str = "") -> AssessmentPage:
    query = replace(
        visit.query("set", "importance", "level", "agency", "simulated", "check", "result", "page"),
        path=_PATH,
    )
    simulated = query.choice("simulated", SIMULATED)
    result = query.choice("result", STANDINGS, STANDINGS[0])
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        which = {"only": True, "1": None}.get(simulated, False)
        silent_before = visit.now - timedelta(seconds=visit.services.settings.coverage.silent_after_seconds)
        machines = assessed(
            session,
            visit.principal.scope,
            silent_before,
            exceptions.in_force(session, visit.now),
            agency_id=chosen.id if chosen else None,
            simulated=which,
        )
        sums = sum_up(machines)
        name, _, check = query.text("check").partition(".")
        asked = next((each for each in sums if (each.set, each.id) == (name, check)), None)
        granted = exceptions.list_exceptions(
            session, visit.principal.scope, visit.now, of=(asked.set, asked.id) if asked else None
        )
        rows, part = [], Slice(1, _ROWS, 0)
        if asked is not None:
            fitting = [m for m in machines if m.set == name and (check, result) in m.results]
            part = Slice(query.number("page", 1), _ROWS, len(fitting))
            shown = fitting[part.offset : part.offset + _ROWS]
            said = evidence(session, [machine.endpoint_id for machine in shown], name, check)
            rows = [
                MachineLine(m.endpoint_id, m.hostname, m.agency, m.simulated, m.silent, said[m.endpoint_id])
                for m in shown
                if m.endpoint_id in said
            ]
    importance, level = query.choice("importance", _IMPORTANCES), query.choice("level", _LEVELS)
    sets = sorted({each.set for each in sums})
    wanted_set = query.choice("set", sets)
    names = {agency.code: agency.name for agency in agencies}
    return AssessmentPage(
        query=query,
        machines=len({machine.endpoint_id for machine in machines}),
        lines=[_line(each, visit.t) for each in sums if _fits(each, wanted_set, importance, level)],
        sets=sets,
        set=wanted_set,
        importance=importance,
        level=level,
        agency=chosen.code if chosen else "",
        simulated=simulated,
        agencies=choices(agencies) if len(agencies) > 1 else [],
        check=None if asked is None else _line(asked, visit.t),
        words=None if asked is None else words_of(asked.id, asked.written, visit.t),
        result=result,
        by_agency=[] if asked is None else _by_agency(asked, names),
        rows=rows,
        slice=part,
        exceptions=[_exception(each, visit.t) for each in granted],
        may_except=visit.principal.may(Permission.CHECKS_EXCEPT),
        refused=refused,
    )


def words_of(check: str, written: WrittenCheck | None, t: Translator) -> CheckWords:
    if written is None:
        return CheckWords(check, "", "", "", [], [])
    return CheckWords(
        title=t.either(written.title.as_mapping()),
        why=t.either(written.why.as_mapping()),
        remedy=t.either(written.remedy.as_mapping()),
        importance=written.importance,
        levels=written.levels,
        references=written.references,
    )


def _fits(each: CheckSum, wanted_set: str, importance: str, level: str) -> bool:
    written = each.written
    return (
        (not wanted_set or each.set == wanted_set)
        and (not importance or written.importance == importance)
        and (not level or int(level) in written.levels)
    )


def _line(each: CheckSum, t: Translator) -> CheckLine:
    failed, unknown, passed, excepted, none = (each.counts[result] for result in STANDINGS)
    asked = failed + unknown + passed + excepted
    return CheckLine(
        key=f"{each.set}.{each.id}",
        title=t.either(each.written.title.as_mapping()),
        set=each.set,
        importance=each.written.importance,
        failed=failed,
        unknown=unknown,
        passed=passed,
        excepted=excepted,
        not_applicable=none,
        percent=100 * passed / asked if asked else None,
    )


def _exception(granted: Granted, t: Translator) -> ExceptionLine:
    written = shipped_checks(granted.set).get(granted.check)
    title = granted.check if written is None else t.either(written.title.as_mapping())
    return ExceptionLine(granted, f"{granted.set}.{granted.check}", title)


def _by_agency(each: CheckSum, names: dict[str, str]) -> list[AgencyLine]:
    """Those where it fails, the most first."""
    lines = [
        AgencyLine(code, names.get(code, code), failed, each.told_by_agency[code])
        for code, failed in each.failed_by_agency.items()
        if failed
    ]
    return sorted(lines, key=lambda line: (-line.failed, line.name))
