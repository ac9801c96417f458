"""Settings for the agents: how the machines stand, what groups have, and the history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from collector.state.tables import SettingsPublication
from collector.steering.settings import publishing
from collector.steering.settings.groups import ENDPOINT, Group, Reckoning, flat, layers, members
from collector.steering.settings.standing import STATES, Standing, counts, standings
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages import agent_settings_words as words
from soc_api.pages.agent_settings_rows import GroupRow, Said, Titles, changed, said
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.visit import Visit
from soc_api.steering import settings as service

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Steerer = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ, Permission.AGENTS_STEER))]
_ROWS = 50
_HISTORY = 30


@dataclass(frozen=True)
class LayerRow:
    group: GroupRow
    number: int
    said: list[Said]


@dataclass(frozen=True)
class PublicationRow:
    number: int
    published_at: datetime
    published_by: str
    comment: str
    group: GroupRow
    changes: list[Said]
    reverts_to: int | None
    machines: int


@dataclass(frozen=True)
class MachineRow:
    """``stated``: what its own file says; hostile like ``reason``."""

    id: str
    name: str
    agency: str
    simulated: bool
    wanted: int
    number: int
    state: str
    word: str
    reason: str
    stated: list[str]


@dataclass(frozen=True)
class Shall:
    """What one machine shall have: each setting, and the group that it is from."""

    machine: MachineRow
    rows: list[tuple[Said, GroupRow]]


@dataclass(frozen=True)
class AgentSettingsPage:
    """``states``: code, word and number of machines. ``one``: a machine that was asked for."""

    query: Query
    states: list[tuple[str, str, int]]
    state: str
    simulated: str
    machines: list[MachineRow]
    slice: Slice
    layers: list[LayerRow]
    history: list[PublicationRow]
    next: str
    one: Shall | None
    may_steer: bool


@router.get("/agent-settings")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("agent_settings.html", build(visit))


@router.post("/agent-settings/{number}/bring-back")
def bring_back(number: int, request: Request, services: RequestServices, principal: Steerer) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        service.bring_back(session, principal, number, visit.now)
    return visit.back_to("/agent-settings")


def build(visit: Visit) -> AgentSettingsPage:
    query = visit.query("state", "simulated", "page", "after", "endpoint")
    simulated, state = query.choice("simulated", SIMULATED), query.choice("state", STATES)
    which = {"only": True, "1": None}.get(simulated, False)
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        machines = standings(session, scope, simulated=which)
        chosen = [each for each in machines if not state or each.state == state]
        part = Slice(query.number("page", 1), _ROWS, len(chosen))
        before = query.number("after", 0, lowest=0, highest=10**9) or None
        found = publishing.history(session, scope, before=before, limit=_HISTORY + 1)
        visible = publishing.visible_layers(session, scope)
        wanted = [Group(row.group, row.key) for row in found] + [layer.group for layer in visible]
        titles = Titles(session, visit, wanted)
        one = _shall(session, visit, titles, query.text("endpoint"))
    history = [_publication(row, titles, visit) for row in found[:_HISTORY]]
    return AgentSettingsPage(
        query=query,
        states=[(code, visit.t(words.STATES[code]), n) for code, n in counts(machines).items()],
        state=state,
        simulated=simulated,
        machines=[_machine(each, visit) for each in chosen[part.offset : part.offset + _ROWS]],
        slice=part,
        layers=[
            LayerRow(titles.row(layer.group), layer.number, said(visit.t, flat(layer.settings)))
            for layer in visible
        ],
        history=history,
        next=str(history[-1].number) if len(found) > _HISTORY else "",
        one=one,
        may_steer=visit.principal.may(Permission.AGENTS_STEER),
    )


def _shall(session: Session, visit: Visit, titles: Titles, endpoint_id: str) -> Shall | None:
    scope = visit.principal.scope
    found = members(session, scope, Group(ENDPOINT, endpoint_id)) if endpoint_id else []
    if not found:
        return None
    (standing,) = standings(session, scope, simulated=None, endpoint_id=endpoint_id)
    shall = Reckoning(layers(session)).of(found[0])
    values = flat(shall.settings)
    return Shall(
        _machine(standing, visit),
        [
            (line, titles.row(shall.origins[name]))
            for name, line in zip(values, said(visit.t, values), strict=True)
        ],
    )


def _machine(each: Standing, visit: Visit) -> MachineRow:
    told = each.told
    failed = each.state in ("rolled_back", "refused")
    return MachineRow(
        id=each.endpoint_id,
        name=each.hostname,
        agency=each.agency,
        simulated=each.simulated,
        wanted=each.wanted,
        number=told.number,
        state=each.state,
        word=visit.t(words.STATES[each.state]),
        reason=visit.words.reason(told.reason) if failed and told.reason else "",
        stated=list(told.stated),
    )


def _publication(row: SettingsPublication, titles: Titles, visit: Visit) -> PublicationRow:
    return PublicationRow(
        number=row.number,
        published_at=row.published_at,
        published_by=row.published_by,
        comment=row.comment,
        group=titles.row(Group(row.group, row.key)),
        changes=changed(visit.t, publishing.changes_of(row)),
        reverts_to=row.reverts_to,
        machines=row.machines,
    )
