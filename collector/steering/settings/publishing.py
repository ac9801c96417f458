"""Publishing settings for a group: looked at before, numbered, kept for ever, and brought back by publishing again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import and_, false, or_, select

from agent.steered import Steered, read_steered
from collector.state.tables import Agency, Assignment, SettingsPublication
from collector.steering.settings.errors import (
    GroupNotFoundError,
    OutrunError,
    PublicationNotFoundError,
    SettingsRefusedError,
)
from collector.steering.settings.groups import (
    AGENCY,
    ALL,
    ENDPOINT,
    GROUPS,
    ROLE,
    Group,
    Layer,
    Reckoning,
    as_json,
    check_group,
    flat,
    flat_json,
    layers,
    members,
)
from collector.steering.settings.settling import MOVED, settle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from collector.steering.settings.groups import Member

_COMMENT: Final = 500


@dataclass(frozen=True)
class Change:
    """One setting before and after; None: not said."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Preview:
    """What publishing would do: to the group's own settings, and which machines it would change for what. ``based_on``
    is the group's number now (0: it has none)."""

    group: Group
    based_on: int
    changes: Sequence[Change]
    machines: Sequence[tuple[Member, Sequence[Change]]]


def read_values(values: Mapping[str, Any]) -> Steered:
    """Settings as a person gives them.

    Raises:
        SettingsRefusedError: out of bounds, or no such setting; says where.
    """
    try:
        return read_steered(dict(values))
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        field = place.strip("`").removeprefix("$.").partition("[")[0]
        if not field and reason.partition(":")[0] in Steered.__struct_fields__:  # of a rule of its own
            field, _, reason = reason.partition(": ")
        raise SettingsRefusedError(field, reason) from error


def difference(before: Steered, after: Steered) -> list[Change]:
    return _changes(flat(before), flat(after))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    names = [*new, *(name for name in old if name not in new)]
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def changes_of(publication: SettingsPublication) -> list[Change]:
    """What it changed of its group's settings; also of one that an earlier version of this program published."""
    old, new = flat_json(publication.before), flat_json(publication.after)
    return _changes(old, new)


def preview(session: Session, scope: Scope, group: Group, settings: Steered) -> Preview:
    """Without changing anything.

    Raises:
        GroupNotFoundError: no such group, or not all of it is within ``scope``.
    """
    check_group(session, scope, group, whole=True)
    now = layers(session)
    before, after = Reckoning(now), Reckoning({**now, group: Layer(group, 0, settings)})
    old = now.get(group)
    known: dict[tuple[int, int], Sequence[Change]] = {}
    changed = []
    for member in members(session, scope, group):
        pair = before.of(member), after.of(member)
        changes = known.get((id(pair[0]), id(pair[1])))
        if changes is None:
            changes = known[id(pair[0]), id(pair[1])] = difference(pair[0].settings, pair[1].settings)
        if changes:
            changed.append((member, changes))
    return Preview(
        group,
        number_of(session, group),
        difference(Steered() if old is None else old.settings, settings),
        changed,
    )


def publish(
    session: Session,
    scope: Scope,
    group: Group,
    settings: Steered,
    *,
    based_on: int,
    comment: str,
    by: str,
    now: datetime,
    reverts_to: int | None = None,
) -> SettingsPublication:
    """Give the group these settings, and every machine that this changes a new number. Needs a write transaction.

    Raises:
        GroupNotFoundError: no such group, or not all of it is within ``scope``.
        OutrunError: the group's number is no longer ``based_on``.
    """
    check_group(session, scope, group, whole=True)
    if number_of(session, group) != based_on:
        raise OutrunError("settings for this group have been published meanwhile: look at them first")
    before = layers(session).get(group)
    publication = SettingsPublication(
        published_at=now,
        published_by=by,
        comment=comment[:_COMMENT],
        group=group.kind,
        key=group.key,
        before={} if before is None else as_json(before.settings),
        after=as_json(settings),
        reverts_to=reverts_to,
        machines=0,
    )
    session.add(publication)
    session.flush()
    publication.machines = settle(session, now)
    session.flush()
    return publication


def bring_back(session: Session, scope: Scope, number: int, *, by: str, now: datetime) -> SettingsPublication:
    """Publish again what ``number`` published, under a new number.

    Raises:
        PublicationNotFoundError, GroupNotFoundError: not there, or not within ``scope``.
        SettingsRefusedError: an earlier version of this program allowed what is out of bounds now.
    """
    old = get_publication(session, scope, number)
    group = Group(old.group, old.key)
    return publish(
        session,
        scope,
        group,
        read_values(old.after),
        based_on=number_of(session, group),
        comment="",
        by=by,
        now=now,
        reverts_to=number,
    )


def get_publication(session: Session, scope: Scope, number: int) -> SettingsPublication:
    found = session.get(SettingsPublication, number)
    if found is not None and found.group in GROUPS:
        try:
            check_group(session, scope, Group(found.group, found.key), whole=False)
        except GroupNotFoundError:
            found = None
    if found is None or found.group == MOVED:
        raise PublicationNotFoundError(f"no publication {number}")
    return found


def history(
    session: Session, scope: Scope, *, before: int | None = None, limit: int = 50
) -> list[SettingsPublication]:
    """Publications that concern somebody within ``scope``, newest first, below the number ``before``."""
    query = select(SettingsPublication).where(_concerns(scope)).order_by(SettingsPublication.number.desc())
    if before is not None:
        query = query.where(SettingsPublication.number < before)
    return list(session.scalars(query.limit(limit)))


def visible_layers(session: Session, scope: Scope) -> list[Layer]:
    """What groups have that somebody within ``scope`` belongs to, the general first."""
    found = layers(session)
    seen: set[tuple[str, str]] = {
        (row.group, row.key)
        for row in session.execute(
            select(SettingsPublication.group, SettingsPublication.key).where(_concerns(scope)).distinct()
        )
    }
    shown = [layer for group, layer in found.items() if (group.kind, group.key) in seen]
    return sorted(shown, key=lambda layer: (GROUPS.index(layer.group.kind), layer.group.key))


def _concerns(scope: Scope) -> ColumnElement[bool]:
    row = SettingsPublication
    if scope.agency_ids is None:
        return row.group != MOVED
    if not scope.agency_ids:
        return false()
    agencies = select(Agency.code).where(Agency.id.in_(sorted(scope.agency_ids)))
    machines = select(Assignment.endpoint_id).where(
        Assignment.valid_to.is_(None), scope.where(Assignment.agency_id)
    )
    return or_(
        row.group.in_((ALL, ROLE)),
        and_(row.group == AGENCY, row.key.in_(agencies)),
        and_(row.group == ENDPOINT, row.key.in_(machines)),
    )


def number_of(session: Session, group: Group) -> int:
    """Of what the group was given last; 0: nothing ever."""
    query = (
        select(SettingsPublication.number)
        .where(SettingsPublication.group == group.kind, SettingsPublication.key == group.key)
        .order_by(SettingsPublication.number.desc())
        .limit(1)
    )
    return session.scalar(query) or 0
