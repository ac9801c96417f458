"""Settings for the agents: what groups have, what machines get of it, how they stand, and publishing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from collector.errors import NotFoundError
from collector.state.tables import SettingsPublication
from collector.steering.settings import publishing
from collector.steering.settings.groups import (
    ENDPOINT,
    Group,
    Reckoning,
    as_json,
    flat,
    layers,
    members,
)
from collector.steering.settings.standing import Standing, State, counts, standings
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Page, Paging, Shape, cursor
from soc_api.steering import settings as service

router = APIRouter(tags=["agent settings"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Steerer = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ, Permission.AGENTS_STEER))]
Kind = Literal["all", "agency", "role", "endpoint"]


class GroupShape(Shape):
    kind: Kind
    key: str = Field(
        description="An agency's code, `workstation` or `server`, an endpoint's id; empty for all."
    )


class LayerShape(Shape):
    group: GroupShape
    number: int
    settings: dict[str, Any]


class OverviewShape(Shape):
    states: dict[State, int] = Field(description="Machines by how they stand; simulated ones not counted.")
    layers: list[LayerShape] = Field(description="What groups have, the general first.")
    collectors: list[str] = Field(description="Names of collectors that agents have told of.")


class ChangeShape(Shape):
    name: str
    before: Any = Field(description="null: not said.")
    after: Any


class PublicationShape(Shape):
    number: int
    published_at: datetime
    published_by: str
    comment: str
    group: GroupShape
    changes: list[ChangeShape]
    after: dict[str, Any]
    reverts_to: int | None
    machines: int = Field(description="For how many machines it changed something.")


class MachineShape(Shape):
    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    wanted: int
    state: State
    number: int = Field(description="In use, as the agent says; 0: its own settings alone.")
    failed: int
    reason: str = Field(description="Why `failed` is not in use; the agent's own words.")
    stated: list[str] = Field(description="What the machine's own file says, so that nothing here holds.")


class OfEndpointShape(Shape):
    standing: MachineShape
    settings: dict[str, Any]
    origins: Mapping[str, GroupShape] = Field(description="By setting, the group that it is from.")


class PreviewMachine(Shape):
    endpoint_id: str
    hostname: str
    agency: str
    changes: list[ChangeShape]


class PreviewShape(Shape):
    based_on: int
    changes: list[ChangeShape]
    machines: int
    examples: list[PreviewMachine] = Field(description="The first hundred of them, by name.")


class Wish(Body):
    kind: Kind
    key: str = Field(default="", max_length=100)
    settings: dict[str, Any] = Field(
        description="All that the group shall have; what is left out is not said."
    )

    def group(self) -> Group:
        return Group(self.kind, self.key)


class Publishing(Wish):
    based_on: int = Field(
        ge=0, description="The group's number when it was looked at (0: none); 409 where it has another now."
    )
    comment: str = Field(default="", max_length=500)


@router.get("/agent-settings")
def overview(services: RequestServices, principal: Reader) -> OverviewShape:
    """What groups have, and how the machines stand."""
    with services.state.read() as session:
        found = publishing.visible_layers(session, principal.scope)
        return OverviewShape(
            states=counts(standings(session, principal.scope)),
            layers=[
                LayerShape(
                    group=GroupShape.model_validate(layer.group),
                    number=layer.number,
                    settings=as_json(layer.settings),
                )
                for layer in found
            ],
            collectors=service.known_collectors(session, principal.scope),
        )


@router.get("/agent-settings/machines")
def machines(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    state: Annotated[State | None, Query(description="Only those that stand so.")] = None,
    simulated: Annotated[bool, Query(description="Also simulated ones.")] = False,
) -> Page[MachineShape]:
    """How machines stand, by name."""
    start = paging.after_id() or 0
    with services.state.read() as session:
        found = standings(session, principal.scope, simulated=None if simulated else False)
    chosen = [each for each in found if state is None or each.state == state]
    end = start + paging.limit
    return Page(
        items=[_machine(each) for each in chosen[start:end]],
        next=cursor(end) if end < len(chosen) else None,
    )


@router.get("/agent-settings/history")
def history(services: RequestServices, principal: Reader, paging: Paging) -> Page[PublicationShape]:
    """Publications, newest first."""
    with services.state.read() as session:
        found = publishing.history(session, principal.scope, before=paging.after_id(), limit=paging.limit + 1)
    shown = found[: paging.limit]
    return Page(
        items=[_publication(each) for each in shown],
        next=cursor(shown[-1].number) if len(found) > paging.limit else None,
    )


@router.post("/agent-settings/preview")
def preview(body: Wish, services: RequestServices, principal: Steerer) -> PreviewShape:
    """What publishing would change, and for which machines. Nothing is stored."""
    settings = publishing.read_values(body.settings)
    with services.state.read() as session:
        seen = publishing.preview(session, principal.scope, body.group(), settings)
    return PreviewShape(
        based_on=seen.based_on,
        changes=[ChangeShape.model_validate(each) for each in seen.changes],
        machines=len(seen.machines),
        examples=[
            PreviewMachine(
                endpoint_id=member.endpoint_id,
                hostname=member.hostname,
                agency=member.agency,
                changes=[ChangeShape.model_validate(each) for each in changes],
            )
            for member, changes in seen.machines[:100]
        ],
    )


@router.post("/agent-settings", status_code=201)
def publish(body: Publishing, services: RequestServices, principal: Steerer) -> PublicationShape:
    """Give a group these settings. Agents hear of it within a minute, try it, and go back by themselves where they
    cannot report any more."""
    settings = publishing.read_values(body.settings)
    with services.state.write() as session:
        made = service.publish(
            session,
            principal,
            body.group(),
            settings,
            based_on=body.based_on,
            comment=body.comment,
            now=services.clock(),
        )
    return _publication(made)


@router.post("/agent-settings/history/{number}/bring-back", status_code=201)
def bring_back(number: int, services: RequestServices, principal: Steerer) -> PublicationShape:
    """Publish again what that number published, under a new one."""
    with services.state.write() as session:
        made = service.bring_back(session, principal, number, services.clock())
    return _publication(made)


@router.get("/endpoints/{endpoint_id}/settings")
def of_endpoint(endpoint_id: str, services: RequestServices, principal: Reader) -> OfEndpointShape:
    """What one machine shall have, from where, and how it stands with it."""
    with services.state.read() as session:
        found = standings(session, principal.scope, simulated=None, endpoint_id=endpoint_id)
        if not found:
            raise NotFoundError(f"no endpoint {endpoint_id!r}")
        (member,) = members(session, principal.scope, Group(ENDPOINT, endpoint_id))
        shall = Reckoning(layers(session)).of(member)
    return OfEndpointShape(
        standing=_machine(found[0]),
        settings=flat(shall.settings),
        origins={name: GroupShape.model_validate(group) for name, group in shall.origins.items()},
    )


def _machine(standing: Standing) -> MachineShape:
    told = standing.told
    return MachineShape(
        endpoint_id=standing.endpoint_id,
        hostname=standing.hostname,
        agency=standing.agency,
        simulated=standing.simulated,
        wanted=standing.wanted,
        state=standing.state,
        number=told.number,
        failed=told.failed,
        reason=told.reason,
        stated=list(told.stated),
    )


def _publication(row: SettingsPublication) -> PublicationShape:
    changes = publishing.changes_of(row)
    return PublicationShape(
        number=row.number,
        published_at=row.published_at,
        published_by=row.published_by,
        comment=row.comment,
        group=GroupShape.model_validate(Group(row.group, row.key)),
        changes=[ChangeShape.model_validate(each) for each in changes],
        after=row.after,
        reverts_to=row.reverts_to,
        machines=row.machines,
    )
