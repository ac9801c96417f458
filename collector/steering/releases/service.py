"""Releases and rollouts as people command them, and as they go on by themselves. In the caller's transactions."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from agent.update.manifest import version_key
from collector.detect.values import moment
from collector.errors import NotFoundError
from collector.state.tables import (
    Agency,
    AgencyRing,
    Assignment,
    Endpoint,
    EndpointRing,
    Release,
    Rollout,
    RolloutNote,
)
from collector.state.upsert import upsert
from collector.steering.releases.errors import RolloutError
from collector.steering.releases.fleet import machines
from collector.steering.releases.rollout import (
    FINISHED,
    HALTED,
    LAST_RING,
    PAUSED,
    RINGS,
    RUNNING,
    STOPPED,
    Course,
    Judgement,
    Pace,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.update.manifest import Manifest
    from collector.state.scope import Scope

#: Who is named where nobody did it.
ITSELF: Final = ""
_PACE: Final = tuple(Pace.__dataclass_fields__)


def list_releases(session: Session) -> list[Release]:
    """The newest first."""
    return sorted(session.scalars(select(Release)), key=lambda each: version_key(each.version), reverse=True)


def add_release(
    session: Session, manifest: Manifest, manifest_bytes: bytes, actor: str, now: datetime
) -> tuple[Release, bool]:
    """Make a release known, whose signature and files the caller has checked; and whether it was not known as it is.

    Raises:
        RolloutError: another one of the same version is being rolled out.
    """
    check_addable(session, manifest.version, manifest_bytes)
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    known = session.get(Release, manifest.version)
    if known is not None and known.manifest_sha256 == digest:
        return known, False
    values: dict[str, Any] = {
        "version": manifest.version,
        "manifest_sha256": digest,
        "schema": manifest.schema,
        "step_back": manifest.step_back,
        "size": sum(each.size for each in manifest.wheels),
        "notes": manifest.notes,
        "made_at": moment(manifest.made_at),
        "added_at": now,
        "added_by": actor,
    }
    upsert(session, Release, [values], ("version",))
    session.expire_all()
    return session.get_one(Release, manifest.version), True


def check_addable(session: Session, version: str, manifest: bytes) -> None:
    """Raise :class:`RolloutError` where another manifest of this version is being rolled out."""
    known, rollout = session.get(Release, version), current(session)
    if known is None or known.manifest_sha256 == hashlib.sha256(manifest).hexdigest():
        return
    if rollout is not None and rollout.version == version and rollout.state != STOPPED:
        raise RolloutError(f"{version} is being rolled out with other files: stop that first")


def current(session: Session) -> Rollout | None:
    """The one that is carried out, or was last."""
    return session.scalars(select(Rollout).order_by(Rollout.id.desc()).limit(1)).first()


def notes_of(session: Session, rollout: Rollout) -> list[RolloutNote]:
    """The newest first."""
    query = select(RolloutNote).where(RolloutNote.rollout_id == rollout.id).order_by(RolloutNote.id.desc())
    return list(session.scalars(query.limit(100)))


def course_of(rollout: Rollout) -> Course:
    pace = Pace(**{name: getattr(rollout, name) for name in _PACE})
    excused = rollout.reason.get("excused", {})
    return Course(rollout.version, rollout.state, rollout.ring, rollout.ring_since.timestamp(), pace, excused)


def start(session: Session, version: str, pace: Pace, actor: str, now: datetime) -> Rollout:
    """Let a release begin in the lowest ring; a rollout under way is stopped.

    Raises:
        NotFoundError: there is no such release.
        RolloutError: the pace makes no sense, or it is under way already.
    """
    if session.get(Release, version) is None:
        raise NotFoundError(f"no release {version!r}: bring it with `vonggac release add`")
    if fault := pace.fault():
        raise RolloutError(fault)
    before = current(session)
    if before is not None and before.state not in (STOPPED, FINISHED):
        if before.version == version:
            raise RolloutError(f"{version} is being rolled out already: resume or stop that")
        _turn(session, before, STOPPED, actor, now, "superseded", {"by": version})
    rollout = Rollout(
        version=version,
        state=RUNNING,
        ring=min((each.ring for each in machines(session)), default=0),
        ring_since=now,
        **asdict(pace),
        reason={},
        started_at=now,
        started_by=actor,
        changed_at=now,
    )
    session.add(rollout)
    session.flush()
    _note(session, rollout, actor, now, "start", asdict(pace))
    return rollout


def pause(session: Session, actor: str, now: datetime) -> Rollout:
    """Tell no further endpoint."""
    return _turn(session, _in_state(session, RUNNING), PAUSED, actor, now, "pause")


def resume(session: Session, actor: str, now: datetime) -> Rollout:
    """Go on with a rollout that was paused or halted. The time it stood still does not count for its ring, and what it
    was halted for does not halt it again."""
    rollout = _in_state(session, PAUSED, HALTED)
    rollout.ring_since += now - rollout.changed_at
    before = rollout.reason
    _turn(session, rollout, RUNNING, actor, now, "resume", dict(before))
    if "ring" in before:
        bad = before["failed"] + before["silent"]
        rollout.reason = {"excused": {**before.get("excused", {}), str(before["ring"]): bad}}
    else:
        rollout.reason = dict(before)
    return rollout


def stop(session: Session, actor: str, now: datetime) -> Rollout:
    """End it for good; endpoints that have the release keep it."""
    return _turn(session, _in_state(session, RUNNING, PAUSED, HALTED, FINISHED), STOPPED, actor, now, "stop")


def set_agency_ring(session: Session, scope: Scope, code: str, ring: int) -> Agency:
    """Raise :class:`NotFoundError` for an agency out of reach, :class:`RolloutError` for no ring."""
    _check_ring(ring)
    agency = session.scalars(select(Agency).where(Agency.code == code, scope.where(Agency.id))).first()
    if agency is None:
        raise NotFoundError(f"no agency {code!r}")
    upsert(session, AgencyRing, [{"agency_id": agency.id, "ring": ring}], ("agency_id",))
    return agency


def set_endpoint_ring(session: Session, scope: Scope, endpoint_id: str, ring: int | None) -> Endpoint:
    """``None``: that of its agency again. Raises as :func:`set_agency_ring`."""
    if ring is not None:
        _check_ring(ring)
    query = (
        select(Endpoint)
        .outerjoin(Assignment, (Assignment.endpoint_id == Endpoint.id) & Assignment.valid_to.is_(None))
        .where(Endpoint.id == endpoint_id, scope.where(Assignment.agency_id))
    )
    endpoint = session.scalars(query).first()
    if endpoint is None:
        raise NotFoundError(f"no endpoint {endpoint_id!r}")
    if ring is None:
        session.execute(delete(EndpointRing).where(EndpointRing.endpoint_id == endpoint_id))
    else:
        upsert(session, EndpointRing, [{"endpoint_id": endpoint_id, "ring": ring}], ("endpoint_id",))
    return endpoint


def look(session: Session, now: float) -> tuple[int, Judgement] | None:
    """What the running rollout (its id) is to do now; None where none is running or nothing is to be done."""
    rollout = current(session)
    if rollout is None or rollout.state != RUNNING:
        return None
    judgement = judge(course_of(rollout), machines(session), now)
    return None if judgement.action == "stay" else (rollout.id, judgement)


def carry_out(session: Session, rollout_id: int, judgement: Judgement, now: datetime) -> None:
    """Do what :func:`look` found, unless somebody was faster."""
    rollout = current(session)
    if (
        rollout is None
        or rollout.id != rollout_id
        or rollout.state != RUNNING
        or rollout.ring > judgement.ring
    ):
        return
    numbers = dict(judgement.numbers)
    if judgement.action == "halt":
        reason = {"why": judgement.why, **numbers}
        excused = rollout.reason.get("excused", {})
        _turn(session, rollout, HALTED, ITSELF, now, "halt", reason)
        rollout.reason = {**reason, "excused": excused}
    elif judgement.action == "finish":
        _turn(session, rollout, FINISHED, ITSELF, now, "finish", numbers)
    elif judgement.action == "advance" and rollout.ring != judgement.ring:
        rollout.ring, rollout.ring_since, rollout.changed_at = judgement.ring, now, now
        _note(session, rollout, ITSELF, now, "advance", {"to": judgement.ring, **numbers})


def _check_ring(ring: int) -> None:
    if ring not in RINGS:
        raise RolloutError(f"rings are 0 (trial) to {LAST_RING}, not {ring}")


def _in_state(session: Session, *states: str) -> Rollout:
    rollout = current(session)
    if rollout is None or rollout.state not in states:
        stands = "there is none" if rollout is None else f"the last one is {rollout.state}"
        raise RolloutError(f"no rollout is {' or '.join(states)}: {stands}")
    return rollout


def _turn(
    session: Session,
    rollout: Rollout,
    state: str,
    actor: str,
    now: datetime,
    action: str,
    detail: dict[str, Any] | None = None,
) -> Rollout:
    rollout.state, rollout.changed_at = state, now
    _note(session, rollout, actor, now, action, detail or {})
    return rollout


def _note(
    session: Session, rollout: Rollout, actor: str, now: datetime, action: str, detail: dict[str, Any]
) -> None:
    session.add(RolloutNote(rollout_id=rollout.id, at=now, actor=actor, action=action, detail=detail))
    session.flush()


def known_versions(releases: Sequence[Release], running: str) -> list[str]:
    """Of the releases that were brought and of the collector's own agent: what the newest lines are counted by."""
    return [running, *(each.version for each in releases)]
