"""Settings for a group of agents: written, looked at for what they would change, then published. Works without
scripts."""

from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from agent.steered import Steered
from collector.errors import CollectorError, ConflictError, NotFoundError
from collector.registry.service import list_agencies
from collector.steering.settings import publishing
from collector.steering.settings.groups import (
    AGENCY,
    ALL,
    GROUPS,
    ROLE,
    ROLES,
    Group,
    as_json,
    check_group,
    layers,
)
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.pages import agent_settings_words as words
from soc_api.pages.agent_settings_form import as_form, from_form
from soc_api.pages.agent_settings_rows import GroupRow, Said, Titles, changed
from soc_api.pages.visit import Visit
from soc_api.steering import settings as service

router = APIRouter()
Steerer = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ, Permission.AGENTS_STEER))]
Line = Annotated[str, Form(max_length=20)]
Text = Annotated[str, Form(max_length=8000)]
_EXAMPLES = 30


@dataclass(frozen=True)
class Example:
    id: str
    name: str
    changes: list[Said]


@dataclass(frozen=True)
class Effect:
    """What publishing would do. ``unknown``: collectors that no agent has told of; ``protection``: it switches off what
    tells of antivirus, so those machines would count as unknown."""

    changes: list[Said]
    machines: int
    examples: list[Example]
    unknown: list[str]
    protection: bool


@dataclass(frozen=True)
class EditPage:
    """``fields``: name, label and text of each; ``problem_in`` is the name of the one that cannot be used, ``detail``
    the server's own English sentence."""

    group: GroupRow
    groups: list[GroupRow]
    based_on: int
    fields: list[tuple[str, str, str]] = field(default_factory=list)
    comment: str = ""
    collectors: list[str] = field(default_factory=list)
    effect: Effect | None = None
    problem: str = ""
    detail: str = ""
    problem_in: str = ""


@router.get("/agent-settings/edit")
def show(request: Request, services: RequestServices, principal: Steerer) -> Response:
    visit = Visit(request, services, principal)
    query = visit.query("kind", "key")
    group = Group(query.choice("kind", GROUPS, ALL), query.text("key"))
    with services.state.read() as session:
        check_group(session, principal.scope, group, whole=True)
        layer = layers(session).get(group)
        based_on = publishing.number_of(session, group)
        values = as_form(as_json(layer.settings) if layer else {})
        page = _page(session, visit, group, based_on, values, "")
    return visit.answer("agent_settings_edit.html", page)


@router.post("/agent-settings/edit")
def write(
    request: Request,
    services: RequestServices,
    principal: Steerer,
    kind: Line,
    based_on: Annotated[int, Form(ge=0)],
    key: Annotated[str, Form(max_length=100)] = "",
    heartbeat_seconds: Line = "",
    metrics_seconds: Line = "",
    spool_bytes: Line = "",
    spool_hours: Line = "",
    disabled: Text = "",
    intervals: Text = "",
    trial_seconds: Line = "",
    comment: Annotated[str, Form(max_length=500)] = "",
    action: Annotated[str, Form(max_length=10)] = "check",
) -> Response:
    visit = Visit(request, services, principal)
    group = Group(kind, key)
    values = {
        "heartbeat_seconds": heartbeat_seconds,
        "metrics_seconds": metrics_seconds,
        "spool_bytes": spool_bytes,
        "spool_hours": spool_hours,
        "disabled": disabled,
        "intervals": intervals,
        "trial_seconds": trial_seconds,
    }
    problem, detail, problem_in, status, effect = "", "", "", 200, None
    try:
        settings = publishing.read_values(from_form(values))
        if action == "publish":
            with services.state.write() as session:
                service.publish(
                    session, principal, group, settings, based_on=based_on, comment=comment, now=visit.now
                )
            return visit.back_to("/agent-settings")
        effect = _effect(visit, group, settings)
    except NotFoundError:
        raise
    except CollectorError as error:
        status = 409 if isinstance(error, ConflictError) else 422
        detail, problem_in = str(error), getattr(error, "field", "")
        if status == 409:
            problem = visit.t(
                "Settings for this group were published meanwhile. Load the page again to see them."
            )
        elif problem_in in words.SETTINGS:
            problem = visit.t(
                "This value cannot be used: %(setting)s", setting=visit.t(words.SETTINGS[problem_in])
            )
        else:
            problem = visit.t("These settings cannot be used.")
    with services.state.read() as session:
        page = _page(session, visit, group, based_on, values, comment)
    page = replace(page, effect=effect, problem=problem, detail=detail, problem_in=problem_in)
    return visit.answer("agent_settings_edit.html", page, status=status)


def _effect(visit: Visit, group: Group, settings: Steered) -> Effect:
    with visit.services.state.read() as session:
        seen = publishing.preview(session, visit.principal.scope, group, settings)
        known = service.known_collectors(session, visit.principal.scope)
    named = {*(settings.disabled or ()), *(settings.intervals or {})}
    return Effect(
        changes=changed(visit.t, seen.changes),
        machines=len(seen.machines),
        examples=[
            Example(member.endpoint_id, member.hostname, changed(visit.t, changes))
            for member, changes in seen.machines[:_EXAMPLES]
        ],
        unknown=sorted(named - set(known)),
        protection=any(name.startswith("antivirus") for name in settings.disabled or ()),
    )


def _page(
    session: Session, visit: Visit, group: Group, based_on: int, values: dict[str, str], comment: str
) -> EditPage:
    scope = visit.principal.scope
    agencies = [Group(AGENCY, agency.code) for agency in list_agencies(session, scope)]
    whole = [Group(ALL), *(Group(ROLE, role) for role in ROLES)] if scope.agency_ids is None else []
    titles = Titles(session, visit, [group])
    return EditPage(
        group=titles.row(group),
        groups=[titles.row(each) for each in [*whole, *agencies]],
        based_on=based_on,
        fields=[(name, visit.t(words.SETTINGS[name]), text) for name, text in values.items()],
        comment=comment,
        collectors=service.known_collectors(session, scope),
    )
