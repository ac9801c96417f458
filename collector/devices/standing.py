"""Whether a device is an endpoint that is looked after, as conditions for queries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, exists, func, or_

from collector.state.tables import Assignment, Device, Endpoint

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute

#: An endpoint that says nothing for longer looks after none of its cards.
SILENT: Final = timedelta(days=7)
#: Not seen for longer, a device is gone (it may come back).
PRESENT: Final = timedelta(days=1)


def of_agency(agency_id: InstrumentedAttribute[int] | int) -> ColumnElement[bool]:
    """Of an :class:`Endpoint` and its :class:`Assignment`: it is the agency's, or was when it was retired."""
    return and_(
        Assignment.endpoint_id == Endpoint.id,
        Assignment.agency_id == agency_id,
        or_(Assignment.valid_to.is_(None), Assignment.valid_to >= Endpoint.retired_at),
    )


def managed(now: datetime) -> ColumnElement[bool]:
    """Of a :class:`Device`: an endpoint of its agency has this card, reports, and was not retired before the card was
    last seen. A card that is seen no more stays what it was, however long its endpoint is silent."""
    heard = func.coalesce(Endpoint.last_seen_at, Endpoint.enrolled_at)
    return exists().where(
        Endpoint.id == Device.endpoint_id,
        of_agency(Device.agency_id),
        or_(Endpoint.retired_at.is_(None), Device.last_seen_at <= Endpoint.retired_at),
        or_(heard >= now - SILENT, Device.last_seen_at < now - PRESENT),
    )
