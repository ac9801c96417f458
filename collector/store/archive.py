"""Old days of events as Parquet files, which anything reads: ``archive/events/20261122-d92.parquet``, the day
(UTC) on which the events were received and the days they are kept. ``archive/manifest.json`` names every file with its
rows, size, SHA-256 and times.

A day goes over in four steps, each of which a crash may cut short: the files are written under other names, synced
and counted; then a mark says that they are whole; the day is dropped from the store; they get their names. So no event
is ever lost or there twice, and missing only for the moment between the last two steps.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.files import sync, write_file
from collector.store import schema
from collector.store.errors import StoreError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger("vonggac.store")

_FORMAT: Final = 1
_TABLE: Final = "events_archive"
_NAME: Final = re.compile(r"(\d{8})-d(\d{1,5})(?:-\d+)?\.parquet")
_WRITING, _WHOLE, _DAMAGED = ".writing", ".whole", ".damaged"
_WRITE: Final = (
    " SETTINGS output_format_parquet_compression_method = 'zstd', output_format_parquet_row_group_size = 100000,"
    " output_format_parquet_string_as_string = 1, engine_file_truncate_on_insert = 1"
)


class Archive:
    """The files below ``folder``, of the embedded store that ``client`` is of. Moving and forgetting is for one thread;
    :meth:`reached` may be asked by any. ``drop`` drops a day from the store.
    """

    def __init__(self, client: Any, folder: Path, drop: Callable[[str], None]) -> None:
        self._client = client
        self._folder = folder / "events"
        self._manifest = folder / "manifest.json"
        self._drop = drop
        self._lock = threading.Lock()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files: dict[str, dict[str, Any]] = self._read_manifest()
        self._open()
        self._finish()

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """What the manifest says of each file, by its name."""
        return dict(self._files)

    def move(self, day: str, classes: Sequence[tuple[int, str]]) -> int:
        """Take a day over; return its rows. ``classes``: for how many days which events are kept
        (:meth:`collector.store.policy.Policy.classes`); each gets a file. What came from simulated endpoints is left
        out and dropped.

        Raises:
            StoreError: it could not be written; the day is where it was.
        """
        rows = sum(self._write(day, days, where) for days, where in classes)
        (self._folder / f"{day}{_WHOLE}").touch()
        sync(self._folder)
        self._finish()
        return rows

    def forget(self, now: datetime) -> int:
        """Delete the files whose days are over; how many."""
        over = []
        for name in self._files:
            day, days = _parts(name)
            began = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            if (now - began).total_seconds() > (days + 1) * 86_400:
                over.append(name)
        for name in over:
            (self._folder / name).unlink(missing_ok=True)
            with self._lock:
                del self._files[name]
        if over:
            self._write_manifest()
            self._open()
        return len(over)

    def reached(self, since: datetime | None) -> str:
        """What stands before a query so that its ``events`` have the archived ones too; nothing where none was received
        at ``since`` or later."""
        if since is None:
            return ""
        first = since.astimezone(UTC).strftime("%Y%m%d")
        with self._lock:
            found = sorted(name for name in self._files if name[:8] >= first)
        if not found:
            return ""
        plain = ", ".join(schema.COLUMNS["events"])
        made = ", ".join(f"CAST({how}, '{kind}') AS {name}" for name, (kind, how) in schema.MADE.items())
        return (
            f"WITH events AS (SELECT {plain}, {', '.join(schema.MADE)} FROM default.events UNION ALL"
            f" SELECT {plain}, {made} FROM default.{_TABLE} WHERE _file >= '{found[0]}')\n"
        )

    def bytes(self) -> int:
        """Of all files together."""
        with self._lock:
            return sum(int(each["bytes"]) for each in self._files.values())

    @property
    def damaged(self) -> int:
        """How many files were set aside because they could not be read."""
        return len(list(self._folder.glob(f"*{_DAMAGED}")))

    def _write(self, day: str, days: int, where: str) -> int:
        path = self._folder / f"{day}-d{days}{_WRITING}"
        names = ", ".join(schema.COLUMNS["events"])
        chosen = f"FROM events WHERE _partition_id = '{day}' AND NOT simulated AND ({where})"
        try:
            rows = int(str(self._client.command(f"SELECT count() {chosen}")))
            if rows:
                self._client.command(
                    f"INSERT INTO FUNCTION file('{_escaped(path)}', 'Parquet') SELECT {names} {chosen}"
                    f" ORDER BY endpoint_id, received_at{_WRITE}"
                )
                sync(path)
                written = int(
                    str(self._client.command(f"SELECT count() FROM file('{_escaped(path)}', 'Parquet')"))
                )
                if written != rows:
                    raise StoreError(f"{path.name} has {written} of {rows} rows")
        except (ClickHouseError, OSError) as error:
            path.unlink(missing_ok=True)
            raise StoreError(f"a day could not be archived: {first_line(error)}") from error
        return rows

    def _finish(self) -> None:
        """Bring what was begun to an end, or back."""
        marks = sorted(self._folder.glob(f"*{_WHOLE}"))
        for mark in marks:
            self._drop(mark.stem)
            for path in sorted(self._folder.glob(f"{mark.stem}-*{_WRITING}")):
                path.rename(self._unused(path.stem))
        sync(self._folder)
        for path in [*marks, *self._folder.glob(f"*{_WRITING}")]:
            path.unlink()
        there = {path.name for path in self._folder.glob("*.parquet") if _NAME.fullmatch(path.name)}
        described = {name: said for name in sorted(there) if (said := self._told(name)) is not None}
        with self._lock:
            changed, self._files = described != self._files, described
        if changed:
            self._write_manifest()
            self._open()

    def _told(self, name: str) -> dict[str, Any] | None:
        """What the manifest is to say of a file; ``None`` where it cannot be read and was set aside."""
        known = self._files.get(name)
        if known is not None and known["bytes"] == (self._folder / name).stat().st_size:
            return known
        try:
            return self._describe(name)
        except ClickHouseError as error:
            self._set_aside(name, error)
            return None

    def _set_aside(self, name: str, error: ClickHouseError) -> None:
        """One file that is no Parquet must not keep all others from being read."""
        path = self._folder / name
        path.rename(path.with_name(f"{name}{_DAMAGED}"))
        log.error(
            "an archived day cannot be read and is set aside; its copy in a backup is to be put in its place",
            extra={"file": str(path), "reason": first_line(error)},
        )

    def _unused(self, stem: str) -> Path:
        """Later rows of a day that went over before get a file of their own."""
        path, number = self._folder / f"{stem}.parquet", 1
        while path.exists():
            number += 1
            path = self._folder / f"{stem}-{number}.parquet"
        return path

    def _describe(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows, first, last = self._client.query(
            "SELECT count(), toString(min(received_at)), toString(max(received_at))"
            f" FROM file('{_escaped(path)}', 'Parquet')"
        ).result_rows[0]
        return {
            "rows": int(rows),
            "bytes": path.stat().st_size,
            "sha256": digest,
            "first_received_at": first,
            "last_received_at": last,
            "kept_days": _parts(name)[1],
        }

    def _open(self) -> None:
        """The table over the files; made anew with every start, as the data directory may have moved, and with every
        change, as it knows only the files that were there when it was made."""
        inside = [f"{name} {kind}" for name, (kind, _) in schema.COLUMNS["events"].items()]
        self._client.command(
            f"CREATE OR REPLACE TABLE {_TABLE} ({', '.join(inside)})"
            f" ENGINE = File(Parquet, '{_escaped(self._folder / '*.parquet')}')"
        )

    def _read_manifest(self) -> dict[str, dict[str, Any]]:
        try:
            files = json.loads(self._manifest.read_text(encoding="utf-8"))["files"]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # it is made anew from the files
        return {each.pop("file"): each for each in files}

    def _write_manifest(self) -> None:
        content = {
            "format": _FORMAT,
            "columns": {name: kind for name, (kind, _) in schema.COLUMNS["events"].items()},
            "files": [{"file": name, **described} for name, described in sorted(self._files.items())],
        }
        write_file(self._manifest, json.dumps(content, indent=1).encode(), 0o644)


def _parts(name: str) -> tuple[str, int]:
    """The day and how many days that a file's name says."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise StoreError(f"not a file of the archive: {name}")
    return found[1], int(found[2])


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")
