"""Brings the tables of an event store to the present version, whatever version they are of.

Every step may be cut short by a crash and is then done again: nothing is lost and nothing is there twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from collector.store import schema
from collector.store.errors import StoreError

if TYPE_CHECKING:
    from collector.store.place import Place

#: Where events of versions 1 and 2 wait for being copied.
_OLD: Final = "events_2"

log = logging.getLogger("vonggac.store")


def migrate(client: Any, place: Place) -> None:
    """Make the tables, or bring them up to date. Events of versions 1 and 2 are copied day by day, some 100,000 a
    second: they were sorted another way.

    Raises:
        StoreError: the store is of a newer version of the program.
    """
    version = _version(client)
    if version > schema.VERSION:
        raise StoreError(
            f"the event store is of schema version {version}, this program knows {schema.VERSION}:"
            " install the newer program"
        )
    if version == schema.VERSION and not _exists(client, _OLD):
        return
    if (
        place.embedded
        and _exists(client, "events")
        and not _exists(client, _OLD)
        and version < schema.VERSION
    ):
        client.command(f"RENAME TABLE events TO {_OLD}")
    for statement in schema.create(place):
        client.command(statement)
    if place.embedded and _exists(client, _OLD):
        _move_events(client)
        client.command("ALTER TABLE metrics ADD COLUMN IF NOT EXISTS partition UInt8 CODEC(ZSTD(1))")
    client.command(f"INSERT INTO schema_version (version) VALUES ({schema.VERSION})")


def _version(client: Any) -> int:
    if not _exists(client, "schema_version"):
        return 0
    return int(str(client.command("SELECT max(version) FROM schema_version")))


def _exists(client: Any, table: str) -> bool:
    return bool(int(str(client.command(f"EXISTS TABLE {table}"))))


def _move_events(client: Any) -> None:
    """A day at a time: what a crash left of a day's copy is dropped, the day is copied, then dropped where it was."""
    found = client.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
        parameters={"table": _OLD},
    ).result_rows
    names = ", ".join(name for name in schema.COLUMNS["events"] if (name,) in found)
    for day in _partitions(client, _OLD):
        client.command(f"ALTER TABLE events DROP PARTITION ID '{day}'")
        client.command(
            f"INSERT INTO events ({names}) SETTINGS {schema.INSERT_SETTINGS}"
            f" SELECT {names} FROM {_OLD} WHERE _partition_id = '{day}'"
        )
        client.command(f"ALTER TABLE {_OLD} DROP PARTITION ID '{day}'")
        log.info("a day of events was brought to the new schema", extra={"day": day})
    client.command(f"DROP TABLE {_OLD}")


def _partitions(client: Any, table: str) -> list[str]:
    rows = client.query(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table = {table:String} ORDER BY partition_id",
        parameters={"table": table},
    ).result_rows
    return [str(row[0]) for row in rows]
