"""Lets the running rollout go on: part of the collector's watch, so one process at a time does it, under its lease."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from collector.detect.values import moment
from collector.steering.releases import service

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.steering.releases.rollout import Judgement

_EVERY_SECONDS: Final = 30.0

log = logging.getLogger("vonggac.steering")


class Going:
    """Looks in the watch's look, carries out in the transaction of what the watch found."""

    def __init__(self) -> None:
        self._next = float("-inf")
        self._found: tuple[int, Judgement] | None = None

    def look(self, session: Session, now: float, steady: float) -> None:
        """Judge, where it is time. Not to be asked while the wall clock ``now`` has just been set.

        Raises what the state store raises. Any other fault is said and leaves the rollout as it is: the watch and what
        runs in its process must not end for it.
        """
        self._found = None
        if steady >= self._next:
            self._next = steady + _EVERY_SECONDS
            try:
                self._found = service.look(session, now)
            except SQLAlchemyError:
                raise
            except Exception:
                log.exception("the rollout cannot be judged: it stays as it is")

    def write(self, session: Session, now: float) -> None:
        if self._found is not None:
            service.carry_out(session, *self._found, moment(now))
            self._found = None
