"""Tells the holders of a key that a person wants them to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from collector.state.tables import RekeyOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


class RekeySource:
    """A :class:`collector.steering.board.Source`."""

    name = "rekey"

    def stamp(self, session: Session) -> object:
        newest, closed = session.execute(
            select(func.max(RekeyOrder.id), func.count(RekeyOrder.closed_at))
        ).one()
        return newest, closed

    def wanted(self, session: Session) -> Mapping[str, int]:
        query = select(RekeyOrder.endpoint_id, RekeyOrder.id).where(RekeyOrder.closed_at.is_(None))
        return dict(session.execute(query).tuples().all())
