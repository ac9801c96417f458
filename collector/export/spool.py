"""The points that wait for the outside store: segments on disk, written by detect workers, read by the exporter.

A segment is a file of records, each a step's points: length, checksum and number of points, then the points as
compressed MessagePack. A record is durable when :meth:`SpoolWriter.put` returns, and that is before the step's
checkpoint: a step that is done again writes its points again. So that they are sent once, the reader keeps of each
partition how far it has sent, by the offset in the log, and leaves out what comes again.

That asks for one order: of a partition, what lies in a segment of a lower number was worked before. A worker that takes
a partition over (a new epoch of its lease) therefore begins a new segment, numbered above all there are.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import zlib
from typing import TYPE_CHECKING, Final

import msgspec
import zstandard

from collector.files import write_file
from collector.store.rows import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from collector.store.rows import MetricRow

SEGMENT_BYTES: Final = 4 << 20
_HEADER: Final = struct.Struct("<III")
_NAME: Final = re.compile(r"(\d{12})-([a-z0-9-]{1,40})\.seg")
_LOST: Final = ".lost"

log = logging.getLogger("vonggac.export")


class SpooledPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One measurement as it waits; ``time_us`` in microseconds since the epoch."""

    partition: int
    log_offset: int
    endpoint_id: str
    name: str
    time_us: int
    value: float
    simulated: bool
    attributes: dict[str, str] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[SpooledPoint]).decode


class SpoolWriter:
    """One a worker. Never raises because of the disk: what cannot be kept is counted in ``lost`` and said once.

    Args:
        folder: made where it is missing.
        name: the worker's, unique on this machine.
        max_bytes: of all writers' segments together; beyond it the oldest are dropped.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int) -> None:
        self.lost = 0
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._compress = zstandard.ZstdCompressor(level=1).compress
        self._epochs: dict[int, int] = {}
        self._file: int | None = None
        self._size = 0
        self._failing = False

    def put(self, rows: Sequence[MetricRow], epochs: Mapping[int, int]) -> None:
        """Durable when it returns. ``epochs``: of the leases under which the rows were worked."""
        if not rows:
            return
        points = [
            SpooledPoint(
                row.partition,
                row.log_offset,
                row.endpoint_id,
                row.name,
                microseconds(row.time),
                float(row.value),
                row.simulated,
                dict(row.attributes),
            )
            for row in rows
        ]
        try:
            self._append(points, epochs)
        except OSError as error:
            self.lost += len(points)
            self.close()  # what was written of the record may be half of it: go on in another segment
            if not self._failing:
                extra = {"path": str(self._folder), "error": str(error)}
                log.error("metrics cannot be kept for export", extra=extra)  # noqa: TRY400 - an expected trouble
            self._failing = True
        else:
            if self._failing:
                log.info("metrics are kept for export again", extra={"lost_points": self.lost})
            self._failing = False

    def close(self) -> None:
        """Close the segment; idempotent. The next :meth:`put` begins another."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, points: list[SpooledPoint], epochs: Mapping[int, int]) -> None:
        taken_over = any(self._epochs.get(partition) != epoch for partition, epoch in epochs.items())
        if self._file is None or self._size >= SEGMENT_BYTES or taken_over:
            self._begin()
            self._epochs.update(epochs)
        assert self._file is not None  # noqa: S101 - begun
        payload = self._compress(_encode(points))
        record = _HEADER.pack(len(payload), zlib.crc32(payload), len(points)) + payload
        written = os.write(self._file, record)
        if written < len(record):
            raise OSError("the disk took only a part")
        os.fdatasync(self._file)
        self._size += len(record)

    def _begin(self) -> None:
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)  # two writers take two numbers
            self._make_room()
            numbers = [number for number, _, _ in segments(self._folder)]
            name = f"{max(numbers, default=0) + 1:012d}-{self._name}.seg"
            self._file = os.open(
                self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600
            )
            self._size = 0
            os.fsync(directory)
        finally:
            os.close(directory)

    def _make_room(self) -> None:
        found = [
            (number, writer, path, path.stat().st_size) for number, writer, path in segments(self._folder)
        ]
        newest = {writer: number for number, writer, _, _ in found}
        total = sum(size for *_, size in found)
        for number, writer, path, size in found:
            if total + SEGMENT_BYTES <= self._max_bytes:
                break
            if writer != self._name and number == newest[writer]:
                continue  # it may be written to
            total -= size
            points = sum(count for count, _, _ in _records(path, 0))
            path.with_suffix(_LOST).write_text(str(points), encoding="ascii")
            path.unlink()
            log.error(
                "the export's spool is full; its oldest points are dropped",
                extra={"segment": path.name, "points": points, "bytes": size},
            )


def segments(folder: Path) -> list[tuple[int, str, Path]]:
    """Number, writer and path of every segment, in order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.append((int(match[1]), match[2], path))
    return sorted(found)


class Cursor(msgspec.Struct):
    """How far was read: of each segment by name the bytes and the points, of each partition the offset in the log."""

    read: dict[str, tuple[int, int]] = {}
    sent: dict[int, int] = {}


class Record(msgspec.Struct):
    """A step's points that were not sent yet; ``repeats`` more of it were. A damaged one has only its bytes."""

    segment: str
    end: int
    count: int
    points: list[SpooledPoint]
    repeats: int = 0
    damaged_bytes: int = 0


class SpoolReader:
    """The one reader. Read with :meth:`records`, and give back what was sent with :meth:`done`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "cursor.json"
        self.cursor = self._load()

    def records(self) -> Iterator[Record]:
        """What waits, in order, up to the ends of the segments as they are found."""
        sent = dict(self.cursor.sent)
        found = segments(self._folder)
        newest = {writer: number for number, writer, _ in found}
        for number, writer, path in found:
            end, _ = self.cursor.read.get(path.name, (0, 0))
            try:
                for count, after, payload in _records(path, end):
                    before, end = end, after
                    points = _points(payload)
                    if points is None:
                        yield Record(path.name, end, count, [], damaged_bytes=end - before)
                        continue
                    fresh = [point for point in points if point.log_offset > sent.get(point.partition, -1)]
                    for point in fresh:
                        sent[point.partition] = max(sent.get(point.partition, -1), point.log_offset)
                    yield Record(path.name, end, count, fresh, len(points) - len(fresh))
                size = path.stat().st_size
                if number != newest[writer] and end < size:  # nobody will complete it
                    yield Record(path.name, size, 0, [], damaged_bytes=size - end)
            except FileNotFoundError:
                continue  # a writer has just dropped it

    def done(self, records: Sequence[Record]) -> None:
        """These were sent, all of them: never give them again. Durable when it returns."""
        for record in records:
            _, points = self.cursor.read.get(record.segment, (0, 0))
            self.cursor.read[record.segment] = (record.end, points + record.count)
            for point in record.points:
                before = self.cursor.sent.get(point.partition, -1)
                self.cursor.sent[point.partition] = max(before, point.log_offset)
        self._save()

    def tidy(self) -> int:
        """Delete what is read and no longer written to; return how many points writers dropped unread meanwhile."""
        lost = 0
        for path in self._folder.glob(f"*{_LOST}") if self._folder.is_dir() else ():
            _, sent = self.cursor.read.pop(path.with_suffix(".seg").name, (0, 0))
            lost += max(0, int(path.read_text(encoding="ascii") or 0) - sent)
            path.unlink()
        found = segments(self._folder)
        newest = {writer: number for number, writer, _ in found}
        for number, writer, path in found:
            end, _ = self.cursor.read.get(path.name, (0, 0))
            if number != newest[writer] and end >= path.stat().st_size:
                path.unlink(missing_ok=True)
        names = {path.name for _, _, path in segments(self._folder)}
        gone = [name for name in self.cursor.read if name not in names]
        if gone or lost:
            for name in gone:
                del self.cursor.read[name]
            self._save()
        return lost

    def waiting_bytes(self) -> int:
        """Bytes on disk that were not read."""
        total = 0
        for _, _, path in segments(self._folder):
            try:
                total += max(0, path.stat().st_size - self.cursor.read.get(path.name, (0, 0))[0])
            except FileNotFoundError:
                continue
        return total

    def _load(self) -> Cursor:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Cursor)
        except FileNotFoundError:
            return Cursor()
        except msgspec.DecodeError:
            log.error("the export's cursor cannot be read; everything in the spool is sent again")  # noqa: TRY400
            return Cursor()

    def _save(self) -> None:
        write_file(self._path, msgspec.json.encode(self.cursor), 0o600)


def _records(path: Path, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Number of points, end and payload of each whole record from ``start``; ends at the first that is not whole.

    A payload that fails its checksum is given as empty: its length may be wrong too, but then the next is not whole.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        while True:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return
            length, checksum, count = _HEADER.unpack(header)
            if not length or file.tell() + length > size:
                return
            payload = file.read(length)
            yield count, file.tell(), payload if zlib.crc32(payload) == checksum else b""


def _points(payload: bytes) -> list[SpooledPoint] | None:
    if not payload:
        return None
    try:
        return _decode(zstandard.decompress(payload, max_output_size=256 << 20))
    except (zstandard.ZstdError, msgspec.DecodeError):
        return None
