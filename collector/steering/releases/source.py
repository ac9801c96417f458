"""Which release each endpoint shall run, for the board that the agents' port tells them from."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from collector.steering.releases.fleet import machines
from collector.steering.releases.rollout import RUNNING, TELLING, is_due
from collector.steering.releases.service import course_of, current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.orm import Session

#: How late an endpoint may hear that it has its turn, beside the board's own time: under way, and afterwards.
_BUCKET_SECONDS: Final = 30
_LATER_SECONDS: Final = 300


class Releases:
    """Endpoints that run the release already are told nothing."""

    name: str = "release"

    def __init__(self, now: Callable[[], float] = time) -> None:
        self._now = now

    def stamp(self, session: Session) -> object:
        rollout = current(session)
        if rollout is None or rollout.state not in TELLING:
            return None
        bucket = int(self._now() // (_BUCKET_SECONDS if rollout.state == RUNNING else _LATER_SECONDS))
        return rollout.id, rollout.state, rollout.ring, rollout.changed_at, bucket

    def wanted(self, session: Session) -> Mapping[str, str]:
        rollout = current(session)
        if rollout is None:
            return {}
        course, now = course_of(rollout), self._now()
        return {
            each.endpoint_id: course.version
            for each in machines(session)
            if not each.runs(course.version) and is_due(course, each, now)
        }
