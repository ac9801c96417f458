"""How long the disk lasts."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collector.store import schema

if TYPE_CHECKING:
    from collector.store.archive import Archive
    from collector.store.place import Place

#: What has grown within so many whole days tells what will grow.
_DAYS: Final = 7


class Forecast(msgspec.Struct, frozen=True):
    """``free_bytes``: of the disk the store lies on (of all the servers' together, where there are several).
    ``bytes_a_day``: of the last whole days, at most seven (0: nothing is known yet). ``days_left``: until the disk is
    full at that rate and nothing is dropped; ``None`` where nothing grows. ``damaged_parts``: parts and archived files
    that were set aside because they could not be read, and of which something is still missing.
    """

    events: int
    events_bytes: int
    metrics_bytes: int
    archive_bytes: int
    free_bytes: int
    bytes_a_day: float
    days_left: float | None
    damaged_parts: int


def forecast(client: Any, place: Place, archive: Archive | None, damaged: int) -> Forecast:
    """Asked of the engine's own lists of parts; reads no events. Raises the engine's errors."""
    parts = schema.everywhere(place, "system.parts")
    now = datetime.now(UTC)
    first, last = now - timedelta(days=_DAYS), now
    sizes = client.query(
        "SELECT sumIf(rows, startsWith(table, 'events')), sumIf(bytes_on_disk, startsWith(table, 'events')),"
        " sumIf(bytes_on_disk, startsWith(table, 'metrics')),"
        " sumIf(bytes_on_disk, startsWith(table, 'events') AND partition_id >= {first:String}"
        " AND partition_id < {last:String}),"
        " toUInt32OrZero(minIf(partition_id, startsWith(table, 'events') AND partition_id >= {first:String}))"
        f" FROM {parts} WHERE active AND database = currentDatabase()",
        parameters={"first": first.strftime("%Y%m%d"), "last": last.strftime("%Y%m%d")},
    ).result_rows[0]
    events, events_bytes, metrics_bytes, lately, oldest = (int(each) for each in sizes)
    days = _days(oldest, last)
    rate = lately / days if days > 0 else 0.0
    free = _free(client, place)
    return Forecast(
        events,
        events_bytes,
        metrics_bytes,
        0 if archive is None else archive.bytes(),
        free,
        rate,
        free / rate if rate > 0 else None,
        damaged,
    )


def _days(oldest: int, last: datetime) -> float:
    """Whole days from the oldest that was counted; 0 where there is none yet."""
    if not oldest:
        return 0.0
    began = datetime.strptime(str(oldest), "%Y%m%d").replace(tzinfo=UTC)
    return float(
        max(0.0, (last.replace(hour=0, minute=0, second=0, microsecond=0) - began) / timedelta(days=1))
    )


def _free(client: Any, place: Place) -> int:
    if place.embedded:
        return shutil.disk_usage(place.name).free
    disks = schema.everywhere(place, "system.disks")
    return int(client.query(f"SELECT sum(unreserved_space) FROM {disks}").result_rows[0][0])
