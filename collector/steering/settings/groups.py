"""Who belongs to which group, what each group has, and what that comes to for one machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import and_, func, select

from agent.steered import Steered, read_steered
from collector.registry import service as registry
from collector.registry.errors import AgencyNotFoundError
from collector.state.tables import Agency, Assignment, Endpoint, SettingsPublication
from collector.steering.settings.errors import GroupNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope

ALL: Final = "all"
AGENCY: Final = "agency"
ROLE: Final = "role"
ENDPOINT: Final = "endpoint"
#: The more particular later: what it says holds over what those before it say, setting by setting.
GROUPS: Final = (ALL, AGENCY, ROLE, ENDPOINT)
ROLES: Final = ("workstation", "server")


@dataclass(frozen=True)
class Group:
    """``kind`` is one of :data:`GROUPS`, ``key`` an agency's code, a role, an endpoint's id, or empty for all."""

    kind: str
    key: str = ""


@dataclass(frozen=True)
class Layer:
    """What a group has, and by which publication."""

    group: Group
    number: int
    settings: Steered


@dataclass(frozen=True)
class Member:
    """A machine as far as its groups go. ``agency_id`` and ``agency`` (the code) are of today's assignment."""

    endpoint_id: str
    hostname: str
    role: str
    agency_id: int | None
    agency: str
    simulated: bool

    def groups(self) -> Iterator[Group]:
        """Those it may have settings by, the more particular later."""
        yield Group(ALL)
        if self.agency:
            yield Group(AGENCY, self.agency)
        if self.role in ROLES:
            yield Group(ROLE, self.role)
        yield Group(ENDPOINT, self.endpoint_id)


@dataclass(frozen=True)
class Effective:
    """What a machine shall have; ``json`` as :func:`as_json`. ``origins``: by setting (:func:`flat`) the group that it
    is from."""

    settings: Steered
    json: Mapping[str, Any]
    origins: Mapping[str, Group]


def as_json(settings: Steered) -> dict[str, Any]:
    """What is stored and shown: only what is said, in JSON's own types."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return plain


def flat(settings: Steered) -> dict[str, Any]:
    """By dotted name, each interval for itself: what can be compared and shown line by line."""
    return flat_json(as_json(settings))


def flat_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As :func:`flat`, of what :func:`as_json` made."""
    intervals = settings.get("intervals", {})
    values = {name: value for name, value in settings.items() if name != "intervals"}
    return {**values, **{f"intervals.{name}": seconds for name, seconds in sorted(intervals.items())}}


def layers(session: Session) -> dict[Group, Layer]:
    """What each group has now; of those only that say something."""
    latest = (
        select(func.max(SettingsPublication.number))
        .where(SettingsPublication.group.in_(GROUPS))
        .group_by(SettingsPublication.group, SettingsPublication.key)
    )
    rows = session.scalars(select(SettingsPublication).where(SettingsPublication.number.in_(latest)))
    found = (Layer(Group(row.group, row.key), row.number, read_steered(row.after)) for row in rows)
    return {layer.group: layer for layer in found if layer.settings != Steered()}


class Reckoning:
    """What machines shall have by ``by_group``. Most share theirs with thousands, so each is worked out once: what is
    equal is the same object."""

    def __init__(self, by_group: Mapping[Group, Layer]) -> None:
        self._by_group = by_group
        self._known: dict[tuple[Group, ...], Effective] = {}

    def of(self, member: Member) -> Effective:
        groups = tuple(group for group in member.groups() if group in self._by_group)
        found = self._known.get(groups)
        if found is None:
            found = self._known[groups] = self._worked_out(groups)
        return found

    def _worked_out(self, groups: tuple[Group, ...]) -> Effective:
        settings = Steered()
        origins: dict[str, Group] = {}
        for group in groups:
            said = self._by_group[group].settings
            settings = said.over(settings)
            origins.update(dict.fromkeys(flat(said), group))
        return Effective(settings, as_json(settings), origins)


def members(session: Session, scope: Scope, group: Group | None = None) -> list[Member]:
    """Machines within ``scope`` that are not retired, of ``group`` where one is given, by name."""
    query = (
        select(
            Endpoint.id,
            Endpoint.hostname,
            Endpoint.role,
            Assignment.agency_id,
            Agency.code,
            Endpoint.simulated,
        )
        .outerjoin(Assignment, and_(Assignment.endpoint_id == Endpoint.id, Assignment.valid_to.is_(None)))
        .outerjoin(Agency, Agency.id == Assignment.agency_id)
        .where(scope.where(Assignment.agency_id), Endpoint.retired_at.is_(None))
        .order_by(Endpoint.hostname, Endpoint.id)
    )
    if group is not None and group.kind == AGENCY:
        query = query.where(Agency.code == group.key)
    if group is not None and group.kind == ROLE:
        query = query.where(Endpoint.role == group.key)
    if group is not None and group.kind == ENDPOINT:
        query = query.where(Endpoint.id == group.key)
    return [
        Member(endpoint_id, hostname, role, agency_id, code or "", simulated)
        for endpoint_id, hostname, role, agency_id, code, simulated in session.execute(query)
    ]


def check_group(session: Session, scope: Scope, group: Group, *, whole: bool) -> None:
    """Whether ``group`` is one, and within ``scope``: ``whole``, all of it (to change it), else a part (to see it).

    Raises:
        GroupNotFoundError: it is not.
    """
    limited = scope.agency_ids is not None
    if group.kind == ALL and not group.key and not (limited and whole):
        return
    if group.kind == ROLE and group.key in ROLES and not (limited and whole):
        return
    if group.kind == AGENCY:
        try:
            registry.get_agency(session, scope, group.key)
        except AgencyNotFoundError as error:
            raise GroupNotFoundError(str(error)) from error
        return
    if group.kind == ENDPOINT and members(session, scope, group):
        return
    raise GroupNotFoundError(f"no group {group.kind} {group.key!r} that you may steer")
