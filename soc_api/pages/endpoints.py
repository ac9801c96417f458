"""Machines: every line of the coverage ledger, endpoints and seen devices alike, filtered and sorted by address."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from collector.coverage.models import STATES, Machine
from collector.coverage.service import count_simulated, ledger
from collector.registry.service import list_agencies
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import Choice, MachineRow, choices, machine_row
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ, Permission.COVERAGE_READ))]
_ROWS = 50
_KINDS = ("endpoint", "device")
#: Network equipment is listed under a word of its own: it is in no state of the ledger.
NETWORK = "network"
_SORTS = ("name", "agency", "state", "age", "seen")


@dataclass(frozen=True)
class EndpointsPage:
    """``by_state`` counts what the other filters leave, so that each state's button says what it would show.
    ``simulated_machines`` are the counted ones of the agency, shown or not."""

    query: Query
    rows: list[MachineRow]
    slice: Slice
    state: str
    kind: str
    agency: str
    text: str
    simulated: str
    late: bool
    sort: str
    down: bool
    agencies: list[Choice]
    by_state: dict[str, int]
    network_equipment: int
    simulated_machines: int


@router.get("/endpoints")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("endpoints.html", build(visit))


def build(visit: Visit) -> EndpointsPage:
    query = visit.query("state", "kind", "agency", "text", "simulated", "late", "sort", "page")
    state, kind = query.choice("state", (*STATES, NETWORK)), query.choice("kind", _KINDS)
    text, simulated, late = query.text("text"), query.choice("simulated", SIMULATED), query.flag("late")
    sort, down = query.text("sort").removeprefix("-"), query.text("sort").startswith("-")
    if sort not in _SORTS:
        sort, down = "", False
    with visit.services.state.read() as session:
        agencies = list_agencies(session, visit.principal.scope)
        chosen = next((agency for agency in agencies if agency.code == query.text("agency")), None)
        limits, book_of = visit.services.settings.coverage, chosen.id if chosen else None
        book = ledger(
            session,
            visit.principal.scope,
            limits,
            visit.now,
            agency_id=book_of,
            include_simulated=visit.simulated,
        )
        simulated_machines = (
            sum(machine.simulated and machine.counted for machine in book.machines)
            if visit.simulated
            else count_simulated(session, visit.principal.scope, limits, visit.now, agency_id=book_of)
        )
    found = [
        machine
        for machine in book.machines
        if (not kind or machine.kind == kind)
        and (simulated != "only" or machine.simulated)
        and (not late or machine.late)
        and (not text or _holds(machine, text.casefold()))
    ]
    by_state = dict.fromkeys(STATES, 0)
    for machine in found:
        if machine.counted:
            by_state[machine.state] += 1
    network = sum(not machine.counted for machine in found)
    if state == NETWORK:
        found = [machine for machine in found if not machine.counted]
    elif state:
        found = [machine for machine in found if machine.counted and machine.state == state]
    if sort:
        found.sort(key=lambda machine: _key(machine, sort), reverse=down)
    part = Slice(query.number("page", 1), _ROWS, len(found))
    return EndpointsPage(
        query=query,
        rows=[machine_row(machine, visit.t) for machine in found[part.offset : part.offset + _ROWS]],
        slice=part,
        state=state,
        kind=kind,
        agency=chosen.code if chosen else "",
        text=text,
        simulated=simulated,
        late=late,
        sort=sort,
        down=down,
        agencies=choices(agencies) if len(agencies) > 1 else [],
        by_state=by_state,
        network_equipment=network,
        simulated_machines=simulated_machines,
    )


def _holds(machine: Machine, wanted: str) -> bool:
    return any(wanted in text.casefold() for text in (machine.name, machine.ip, machine.mac, machine.id))


def _key(machine: Machine, sort: str) -> tuple[float, str]:
    name = machine.name.casefold()
    if sort == "age":
        return (-1.0 if machine.age_days is None else float(machine.age_days), name)
    if sort == "seen":
        return (0.0 if machine.last_seen is None else machine.last_seen.timestamp(), name)
    if sort == "state":
        return (float(STATES.index(machine.state)), name)
    return (0.0, name if sort == "name" else f"{machine.agency_name}\0{name}")
