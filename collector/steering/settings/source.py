"""The board's source of what settings each endpoint shall have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from collector.state.tables import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


class SettingsSource:
    """As :class:`collector.steering.board.Source`."""

    name = "settings"

    def stamp(self, session: Session) -> object:
        """A machine's number only grows, so their sum, and how many have one, tell of every change."""
        numbers = select(func.sum(EndpointSettings.number), func.count())
        return tuple(session.execute(numbers.where(EndpointSettings.number > 0)).one())

    def wanted(self, session: Session) -> Mapping[str, int]:
        query = select(EndpointSettings.endpoint_id, EndpointSettings.number).where(
            EndpointSettings.number > 0
        )
        return {row.endpoint_id: row.number for row in session.execute(query)}
