"""Configuration assessment over all endpoints: which checks fail where, how to mend it, and what each machine says."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.assessment.service import RESULTS, CheckSum, Standing, assessed, evidence, sum_up
from soc_api.assessment.written import WrittenCheck
from soc_api.i18n import Translator
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_ROWS = 50
_IMPORTANCES = ("high", "medium", "low")
_LEVELS = ("1", "2")


@dataclass(frozen=True)
class CheckLine:
    """One check over the machines that the filters leave. ``percent`` is how many passed of those that could be told or
    not (0 to 100); not applicable is left out."""

    key: str
    title: str
    set: str
    importance: str
    failed: int
    unknown: int
    passed: int
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
    result: str = RESULTS[0]
    by_agency: list[AgencyLine] = field(default_factory=list)
    rows: list[MachineLine] = field(default_factory=list)
    slice: Slice = field(default_factory=lambda: Slice(1, _ROWS, 0))


@router.get("/assessment")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("assessment.html", build(visit))


def build(visit: Visit) -> AssessmentPage:
    query = visit.query("set", "importance", "level", "agency", "simulated", "check", "result", "page")
    simulated = query.choice("simulated", SIMULATED)
    result = query.choice("result", RESULTS, RESULTS[0])
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        which = {"only": True, "1": None}.get(simulated, False)
        silent_before = visit.now - timedelta(seconds=visit.services.settings.coverage.silent_after_seconds)
        machines = assessed(
            session,
            visit.principal.scope,
            silent_before,
            agency_id=chosen.id if chosen else None,
            simulated=which,
        )
        sums = sum_up(machines)
        name, _, check = query.text("check").partition(".")
        asked = next((each for each in sums if (each.set, each.id) == (name, check)), None)
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
    failed, unknown, passed, none = (each.counts[result] for result in RESULTS)
    asked = failed + unknown + passed
    return CheckLine(
        key=f"{each.set}.{each.id}",
        title=t.either(each.written.title.as_mapping()),
        set=each.set,
        importance=each.written.importance,
        failed=failed,
        unknown=unknown,
        passed=passed,
        not_applicable=none,
        percent=100 * passed / asked if asked else None,
    )


def _by_agency(each: CheckSum, names: dict[str, str]) -> list[AgencyLine]:
    """Those where it fails, the most first."""
    lines = [
        AgencyLine(code, names.get(code, code), failed, each.told_by_agency[code])
        for code, failed in each.failed_by_agency.items()
        if failed
    ]
    return sorted(lines, key=lambda line: (-line.failed, line.name))
