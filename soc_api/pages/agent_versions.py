"""The agent's versions on the machines, and the rollout of a release: to see, to start, to hold, to go back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from agent.update.words import why
from collector.registry.service import list_agencies
from collector.steering.releases.rollout import LAST_RING, RINGS, Pace
from soc_api import releases
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.i18n import N_
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit
from soc_api.releases import Matrix, Troubled

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.RELEASES_MANAGE))]
_PATH = "/agent-versions"
_TROUBLED_SHOWN = 200
_HOUR = 3600.0
STATES = {
    "running": N_("under way"),
    "paused": N_("paused"),
    "halted": N_("halted by itself"),
    "stopped": N_("stopped"),
    "finished": N_("finished"),
}
ACTIONS = {
    "start": N_("Started"),
    "pause": N_("Paused"),
    "resume": N_("Resumed"),
    "stop": N_("Stopped"),
    "superseded": N_("Stopped for another release"),
    "advance": N_("Next ring"),
    "halt": N_("Halted by itself"),
    "finish": N_("Finished"),
}


@dataclass(frozen=True)
class TroubledRow:
    """``why`` in the reader's language; ``detail`` as the agent said it."""

    machine: Troubled
    why: str


@dataclass(frozen=True)
class NoteRow:
    at: object
    actor: str
    what: str
    detail: str


@dataclass(frozen=True)
class AgentVersionsPage:
    """``state`` and ``halted`` are words; ``agencies`` are those that may be put into a ring."""

    matrix: Matrix
    total: int
    state: str
    halted: str
    troubled: list[TroubledRow]
    troubled_total: int
    notes: list[NoteRow]
    pace: Pace
    rings: list[int]
    last_ring: int
    agencies: list[Choice]
    may_manage: bool


@router.get(_PATH)
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("agent_versions.html", build(visit))


@router.post(f"{_PATH}/start")
def start(
    request: Request,
    services: RequestServices,
    principal: Manager,
    version: Annotated[str, Form(max_length=64)],
    wait_hours: Annotated[float, Form(ge=0, le=2160)],
    spread_hours: Annotated[float, Form(ge=0, le=2160)],
    healthy_percent: Annotated[float, Form(gt=0, le=100)],
    failure_percent: Annotated[float, Form(ge=0, lt=100)],
) -> Response:
    visit = Visit(request, services, principal)
    pace = Pace(
        wait_seconds=wait_hours * _HOUR,
        spread_seconds=spread_hours * _HOUR,
        healthy_ratio=healthy_percent / 100,
        failure_ratio=failure_percent / 100,
    )
    with services.state.write() as session:
        releases.start(session, principal, version, pace, visit.now)
    return visit.back_to(_PATH)


@router.post(f"{_PATH}/pause")
def pause(request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        releases.pause(session, principal, visit.now)
    return visit.back_to(_PATH)


@router.post(f"{_PATH}/resume")
def resume(request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        releases.resume(session, principal, visit.now)
    return visit.back_to(_PATH)


@router.post(f"{_PATH}/stop")
def stop(request: Request, services: RequestServices, principal: Manager) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        releases.stop(session, principal, visit.now)
    return visit.back_to(_PATH)


@router.post(f"{_PATH}/ring")
def ring(
    request: Request,
    services: RequestServices,
    principal: Manager,
    agency: Annotated[str, Form(max_length=64)],
    number: Annotated[int, Form(ge=0, le=LAST_RING)],
) -> Response:
    visit = Visit(request, services, principal)
    with services.state.write() as session:
        releases.set_agency_ring(session, principal, agency, number, visit.now)
    return visit.back_to(_PATH)


def build(visit: Visit) -> AgentVersionsPage:
    with visit.services.state.read() as session:
        matrix = releases.matrix(session, visit.principal.scope, visit.now)
        agencies = list_agencies(session, visit.principal.scope)
    t, rollout = visit.t, matrix.rollout
    return AgentVersionsPage(
        matrix=matrix,
        total=sum(matrix.counts.values()),
        state="" if rollout is None else t(STATES[rollout.state]),
        halted=_halted(visit, matrix),
        troubled=[TroubledRow(each, why(each.code, t.lang)) for each in matrix.troubled[:_TROUBLED_SHOWN]],
        troubled_total=len(matrix.troubled),
        notes=[
            NoteRow(each.at, each.actor, t(ACTIONS[each.action]), _numbers(visit, each.detail))
            for each in matrix.notes
        ],
        pace=Pace(),
        rings=list(RINGS),
        last_ring=LAST_RING,
        agencies=choices(agencies),
        may_manage=visit.principal.may(Permission.RELEASES_MANAGE),
    )


def _halted(visit: Visit, matrix: Matrix) -> str:
    rollout = matrix.rollout
    if rollout is None or rollout.state != "halted":
        return ""
    reason = rollout.reason
    said = {name: reason.get(name, 0) for name in ("ring", "failed", "silent", "due")}
    if reason.get("why") == "failed":
        return visit.t(
            "Ring %(ring)s: %(failed)s of %(due)s machines did not take it. Look at why before you resume.",
            **said,
        )
    return visit.t(
        "Ring %(ring)s: %(silent)s of %(due)s machines fell silent with it. Look at why before you resume.",
        **said,
    )


def _numbers(visit: Visit, detail: Mapping[str, object]) -> str:
    if "healthy" not in detail:
        return str(detail.get("by", ""))
    said = {name: detail.get(name, 0) for name in ("ring", "healthy", "heard", "failed")}
    return visit.t("Ring %(ring)s: %(healthy)s of %(heard)s machines ran it, %(failed)s failed", **said)
