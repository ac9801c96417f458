"""Times as people write them: how long ago (``30d``), or a day or moment."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_AGO: Final = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LOCAL: Final = timezone(timedelta(hours=7))


def parse_when(text: str, now: datetime) -> datetime:
    """``90m``, ``12h``, ``30d``, ``2w`` before ``now``; or ISO 8601 (Indochina time where it names no offset).

    Raises:
        ValueError: it is neither; ``str()`` says what would be.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    try:
        if ago is not None:
            return now - int(ago[1]) * _UNITS[ago[2]]
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=_LOCAL)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"not a time: {text[:40]!r}; write 30d, 12h, or 2026-11-01") from None
