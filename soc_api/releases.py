"""What people do with releases of the agent, each with its audit entry; and the matrix of versions they decide by."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

import agent
from agent.update.manifest import version_key
from collector.state.tables import Alert
from collector.steering.releases import service
from collector.steering.releases.fleet import machines
from collector.steering.releases.rollout import HALTED, RINGS, Count, count, unsupported
from soc_api.accounts import audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.state.scope import Scope
    from collector.state.tables import Release, Rollout, RolloutNote
    from collector.steering.releases.fleet import Known
    from collector.steering.releases.rollout import Pace
    from soc_api.accounts.principal import Principal

#: ``rules/sigma/collector/availability_agent_rollout_halted.yml``
HALTED_RULE: Final = "6f3a1c52-8e0d-4b7a-9d35-2c4c0b5a7e19"


@dataclass(frozen=True)
class AgencyVersions:
    """``rings``: those of its machines. ``counts``: machines by version; ``oldest``: of them that told one."""

    code: str
    name: str
    rings: list[int]
    machines: int
    counts: dict[str, int]
    oldest: str
    unsupported: int
    troubled: int


@dataclass(frozen=True)
class Troubled:
    """A machine on which the release of the rollout did not go well: why, as a code and in the agent's words."""

    endpoint_id: str
    hostname: str
    agency: str
    ring: int
    version: str
    code: str
    detail: str


@dataclass(frozen=True)
class Matrix:
    """Versions of the agent within reach: ``versions`` newest first (empty: not told), ``unsupported`` among them.
    ``rings`` are counted for the rollout, empty where there is none. ``alert``: the one that says that it halted, while
    it is halted and the asker reaches that."""

    versions: list[str]
    counts: dict[str, int]
    unsupported: list[str]
    agencies: list[AgencyVersions]
    rings: list[Count]
    troubled: list[Troubled]
    releases: list[Release]
    rollout: Rollout | None
    notes: list[RolloutNote]
    alert: int | None


def matrix(session: Session, scope: Scope, now: datetime) -> Matrix:
    found = machines(session, scope)
    releases, rollout = service.list_releases(session), service.current(session)
    known = service.known_versions(releases, agent.__version__)
    counts = Counter(each.version for each in found)
    old = [version for version in counts if unsupported(version, known)]
    by_agency: dict[tuple[str, str], list[Known]] = {}
    for each in found:
        by_agency.setdefault((each.agency_code, each.agency_name), []).append(each)
    version = "" if rollout is None else rollout.version
    troubled = [
        Troubled(each.endpoint_id, each.hostname, each.agency_name, each.ring, each.version, *trouble)
        for each in found
        if version and (trouble := each.trouble(version))[0]
    ]
    rings: list[Count] = []
    if rollout is not None:
        course = service.course_of(rollout)
        rings = [count(course, ring, found, now.timestamp()) for ring in RINGS]
    return Matrix(
        versions=sorted(counts, key=version_key, reverse=True),
        counts=dict(counts),
        unsupported=old,
        agencies=[_of_agency(code, name, rows, old, version) for (code, name), rows in by_agency.items()],
        rings=[each for each in rings if each.machines],
        troubled=troubled,
        releases=releases,
        rollout=rollout,
        notes=[] if rollout is None else service.notes_of(session, rollout),
        alert=None if rollout is None or rollout.state != HALTED else _alert(session, scope, rollout),
    )


def start(session: Session, principal: Principal, version: str, pace: Pace, now: datetime) -> Rollout:
    """See :func:`collector.steering.releases.service.start`."""
    rollout = service.start(session, version, pace, principal.username, now)
    _record(session, principal, "release.start", version, now, **asdict(pace))
    return rollout


def pause(session: Session, principal: Principal, now: datetime) -> Rollout:
    return _do(session, principal, "release.pause", service.pause, now)


def resume(session: Session, principal: Principal, now: datetime) -> Rollout:
    return _do(session, principal, "release.resume", service.resume, now)


def stop(session: Session, principal: Principal, now: datetime) -> Rollout:
    return _do(session, principal, "release.stop", service.stop, now)


def set_agency_ring(session: Session, principal: Principal, code: str, ring: int, now: datetime) -> None:
    """See :func:`collector.steering.releases.service.set_agency_ring`."""
    service.set_agency_ring(session, principal.scope, code, ring)
    _record(session, principal, "release.ring", f"agency:{code}", now, ring=ring)


def set_endpoint_ring(
    session: Session, principal: Principal, endpoint_id: str, ring: int | None, now: datetime
) -> None:
    """See :func:`collector.steering.releases.service.set_endpoint_ring`."""
    endpoint = service.set_endpoint_ring(session, principal.scope, endpoint_id, ring)
    _record(
        session,
        principal,
        "release.ring",
        f"endpoint:{endpoint_id}",
        now,
        ring=ring,
        hostname=endpoint.hostname,
    )


def _alert(session: Session, scope: Scope, rollout: Rollout) -> int | None:
    query = select(Alert.id).where(
        Alert.rule_id == HALTED_RULE, Alert.subject == rollout.version, scope.where(Alert.agency_id)
    )
    return session.scalar(query.order_by(Alert.id.desc()).limit(1))


def _do(
    session: Session,
    principal: Principal,
    action: str,
    change: Callable[[Session, str, datetime], Rollout],
    now: datetime,
) -> Rollout:
    rollout = change(session, principal.username, now)
    _record(session, principal, action, rollout.version, now, ring=rollout.ring)
    return rollout


def _record(
    session: Session, principal: Principal, action: str, target: str, now: datetime, **detail: Any
) -> None:
    audit.record(session, now, principal.username, action, target, address=principal.address, **detail)


def _of_agency(code: str, name: str, rows: list[Known], old: list[str], version: str) -> AgencyVersions:
    told = [each.version for each in rows if each.version]
    return AgencyVersions(
        code=code,
        name=name,
        rings=sorted({each.ring for each in rows}),
        machines=len(rows),
        counts=dict(Counter(each.version for each in rows)),
        oldest=min(told, key=version_key, default=""),
        unsupported=sum(each.version in old for each in rows),
        troubled=sum(each.trouble(version)[0] != "" for each in rows) if version else 0,
    )
