"""How the machines stand with the settings meant for them, by what their agents tell of themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from sqlalchemy import and_, select

from collector.state.tables import Agency, Assignment, Document, Endpoint, EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

AGENT: Final = "agent"
#: In the order in which people want to see them. ``none``: nothing is meant for the machine.
State = Literal["rolled_back", "refused", "trying", "waiting", "in_force", "none"]
STATES: Final[tuple[State, ...]] = get_args(State)
_TEXT: Final = 255


@dataclass(frozen=True)
class Told:
    """What an agent says of its settings; hostile. ``number`` in use (0: its own alone), ``failed``: the last number
    that it did not keep, ``failure`` (``rolled_back`` or ``refused``) and ``reason`` why; ``stated``: settings that its
    own file says, which hold over those from here."""

    number: int = 0
    trying: bool = False
    failed: int = 0
    failure: str = ""
    reason: str = ""
    stated: Sequence[str] = ()


@dataclass(frozen=True)
class Standing:
    """``wanted``: the number meant for it, 0 for none; ``state`` one of :data:`STATES`."""

    endpoint_id: str
    hostname: str
    agency: str
    simulated: bool
    wanted: int
    state: State
    told: Told


def told_of(body: Mapping[str, Any] | None) -> Told:
    """The part about settings of an ``agent`` document, whatever it holds."""
    said = body.get("settings") if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return Told()

    def number(key: str) -> int:
        value = said.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**15 else 0

    def text(key: str) -> str:
        value = said.get(key)
        return value[:_TEXT] if isinstance(value, str) else ""

    stated = said.get("stated")
    names = [each[:64] for each in stated[:64] if isinstance(each, str)] if isinstance(stated, list) else []
    return Told(
        number=number("number"),
        trying=said.get("state") == "trying",
        failed=number("failed"),
        failure=text("failure"),
        reason=text("reason"),
        stated=tuple(names),
    )


def state_of(wanted: int, told: Told) -> State:
    if not wanted:
        return "none"
    if told.number == wanted:
        return "trying" if told.trying else "in_force"
    if told.failed == wanted:
        return "refused" if told.failure == "refused" else "rolled_back"
    return "waiting"


def standings(
    session: Session, scope: Scope, *, simulated: bool | None = False, endpoint_id: str = ""
) -> list[Standing]:
    """Machines within ``scope`` that are not retired, by name. ``simulated`` None: real and simulated ones."""
    query = (
        select(
            Endpoint.id,
            Endpoint.hostname,
            Agency.name,
            Endpoint.simulated,
            EndpointSettings.number,
            Document.body,
        )
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .outerjoin(EndpointSettings, EndpointSettings.endpoint_id == Endpoint.id)
        .outerjoin(Document, and_(Document.endpoint_id == Endpoint.id, Document.kind == AGENT))
        .where(scope.where(Assignment.agency_id), Endpoint.retired_at.is_(None))
        .order_by(Endpoint.hostname, Endpoint.id)
    )
    if simulated is not None:
        query = query.where(Endpoint.simulated.is_(simulated))
    if endpoint_id:
        query = query.where(Endpoint.id == endpoint_id)
    found: dict[str, Standing] = {}
    for machine, hostname, agency, is_simulated, number, body in session.execute(query):
        told = told_of(body)
        found[machine] = Standing(
            machine, hostname, agency or "", is_simulated, number or 0, state_of(number or 0, told), told
        )
    return list(found.values())


def counts(machines: Sequence[Standing]) -> dict[State, int]:
    """By state, every state named."""
    counted = Counter(machine.state for machine in machines)
    return {state: counted[state] for state in STATES}
