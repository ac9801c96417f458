"""What the fields of forms say, read."""

from __future__ import annotations

from datetime import date, datetime, time

from soc_api.errors import Fault, InvalidError
from soc_api.i18n import LOCAL_ZONE


def end_of_day(field: str, day: str) -> datetime:
    """The end of a day as the console writes days (ISO 8601). Raises :class:`InvalidError` naming the ``field``."""
    try:
        return datetime.combine(date.fromisoformat(day), time.max, tzinfo=LOCAL_ZONE)
    except ValueError as error:
        raise InvalidError(Fault(field, "not a day")) from error
