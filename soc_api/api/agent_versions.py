"""Versions of the agent on the machines, releases, and the rollout that brings one to them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from agent.update.manifest import MOST_VERSION_CHARACTERS
from collector.errors import NotFoundError
from collector.state.tables import Rollout
from collector.steering.releases import service
from collector.steering.releases.rollout import LAST_RING, Pace
from soc_api import releases
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Shape

router = APIRouter(tags=["agent versions"])
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
Manager = Annotated[Principal, Depends(require(Permission.RELEASES_MANAGE))]
Ring = Annotated[
    int, Field(ge=0, le=LAST_RING, description="0: the trial; the last one: all that are in none.")
]
_DEFAULTS = Pace()


class ReleaseShape(Shape):
    version: str
    schema_number: int = Field(description="The wire contract it speaks.", validation_alias="schema")
    step_back: bool = Field(description="It may replace newer versions, too.")
    size: int
    notes: str
    manifest_sha256: str
    made_at: datetime
    added_at: datetime
    added_by: str


class RolloutShape(Shape):
    version: str
    state: Literal["running", "paused", "halted", "stopped", "finished"]
    ring: int
    ring_since: datetime
    wait_seconds: float
    spread_seconds: float
    silent_seconds: float
    healthy_ratio: float
    failure_ratio: float
    reason: dict[str, Any] = Field(description="Why it halted by itself: `why` and the numbers of the ring.")
    started_at: datetime
    started_by: str


class NoteShape(Shape):
    at: datetime
    actor: str = Field(description="Empty: the rollout itself.")
    action: str
    detail: dict[str, Any]


class RingShape(Shape):
    ring: int
    machines: int
    due: int = Field(description="Machines whose turn has come.")
    heard: int = Field(description="Of those, heard since.")
    healthy: int = Field(description="Of those, running the release.")
    failed: int
    silent: float = Field(description="Silent after taking it, beyond what is usual on the other machines.")


class AgencyShape(Shape):
    code: str
    name: str
    rings: list[int]
    machines: int
    counts: dict[str, int] = Field(description="Machines by version; an empty version was never told.")
    oldest: str
    unsupported: int
    troubled: int


class TroubledShape(Shape):
    endpoint_id: str
    hostname: str
    agency: str
    ring: int
    version: str
    code: str
    detail: str


class MatrixShape(Shape):
    versions: list[str]
    counts: dict[str, int]
    unsupported: list[str] = Field(description="Versions older than the newest three lines (N-2).")
    agencies: list[AgencyShape]
    rings: list[RingShape]
    troubled: list[TroubledShape]
    releases: list[ReleaseShape]
    rollout: RolloutShape | None
    notes: list[NoteShape]


class NewRollout(Body):
    version: str = Field(max_length=MOST_VERSION_CHARACTERS)
    wait_seconds: float = Field(_DEFAULTS.wait_seconds, description="How long a ring is watched.")
    spread_seconds: float = Field(_DEFAULTS.spread_seconds, description="Within which a ring is told.")
    silent_seconds: float = Field(_DEFAULTS.silent_seconds, description="From when a machine is silent.")
    healthy_ratio: float = Field(
        _DEFAULTS.healthy_ratio, description="What must run it before the next ring."
    )
    failure_ratio: float = Field(_DEFAULTS.failure_ratio, description="More failures or silence halt it.")


class InRing(Body):
    ring: Ring


class MaybeInRing(Body):
    ring: Ring | None = Field(description="null: that of its agency.")


@router.get("/agent-versions")
def agent_versions(services: RequestServices, principal: Reader) -> MatrixShape:
    """Which versions run where, and how the rollout stands, within reach."""
    with services.state.read() as session:
        found = releases.matrix(session, principal.scope, services.clock())
        return MatrixShape.model_validate(found)


@router.post("/rollout", status_code=201)
def start(body: NewRollout, services: RequestServices, principal: Manager) -> RolloutShape:
    """Let a release begin in the lowest ring. One that is under way with another release is stopped."""
    values = body.model_dump(exclude={"version"})
    with services.state.write() as session:
        rollout = releases.start(session, principal, body.version, Pace(**values), services.clock())
        return _shape(rollout)


@router.post("/rollout/pause")
def pause(services: RequestServices, principal: Manager) -> RolloutShape:
    """Tell no further machine."""
    with services.state.write() as session:
        return _shape(releases.pause(session, principal, services.clock()))


@router.post("/rollout/resume")
def resume(services: RequestServices, principal: Manager) -> RolloutShape:
    """Go on with what was paused, or halted by itself; what it was halted for does not halt it again."""
    with services.state.write() as session:
        return _shape(releases.resume(session, principal, services.clock()))


@router.post("/rollout/stop")
def stop(services: RequestServices, principal: Manager) -> RolloutShape:
    """End it. Machines that have the release keep it; going back is another release, signed as a step back."""
    with services.state.write() as session:
        return _shape(releases.stop(session, principal, services.clock()))


@router.get("/rollout")
def rollout(services: RequestServices, principal: Reader) -> RolloutShape:  # noqa: ARG001 - signed-in users only
    """The rollout that is carried out, or was last."""
    with services.state.read() as session:
        found = service.current(session)
        if found is None:
            raise NotFoundError("there has been no rollout")
        return _shape(found)


@router.put("/agencies/{code}/ring")
def agency_ring(code: str, body: InRing, services: RequestServices, principal: Manager) -> InRing:
    """In which ring an agency's machines get releases."""
    with services.state.write() as session:
        releases.set_agency_ring(session, principal, code, body.ring, services.clock())
    return body


@router.put("/endpoints/{endpoint_id}/ring")
def endpoint_ring(
    endpoint_id: str, body: MaybeInRing, services: RequestServices, principal: Manager
) -> MaybeInRing:
    """In which ring one machine gets releases, whatever its agency's is."""
    with services.state.write() as session:
        releases.set_endpoint_ring(session, principal, endpoint_id, body.ring, services.clock())
    return body


def _shape(rollout: Rollout) -> RolloutShape:
    return RolloutShape.model_validate(rollout)
