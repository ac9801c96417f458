"""Files of events as blocks of JSON texts, one text an event."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
import zstandard

from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".evtx")
#: A longer line is no event; it counts as unreadable.
MAX_LINE_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 1 << 20
_BLOCK_RECORDS: Final = 500

#: Of the Zstandard format (RFC 8878).
_LONGEST_FRAME_HEADER: Final = 18
_SKIPPABLE: Final = b"\x2a\x4d\x18"
_RUN_BLOCK: Final = 1

#: Stands for the text of an event that cannot be read.
UNREADABLE: Final = b"null"

_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_CLOSE_RETURN: Final = b"}\r"


class Block:
    """Events in their order, a line of ``text`` each; ``ends``: where the lines end. ``objects``: each line begins with
    ``{`` and ends with ``}`` (and perhaps a carriage return): no JSON value goes on over such a line break."""

    __slots__ = ("ends", "objects", "text")

    def __init__(self, text: bytes, ends: Sequence[int], *, objects: bool) -> None:
        self.text = text
        self.ends = ends
        self.objects = objects

    @classmethod
    def of_lines(cls, text: bytes) -> Block:
        """Of whole lines, each with its end; blank ones are no events."""
        ends: list[int] = []
        find, start, objects = text.find, 0, True
        while (end := find(b"\n", start)) >= 0:
            if text[start] != _OPEN or (text[end - 1] != _CLOSE and text[end - 2 : end] != _CLOSE_RETURN):
                objects = False
            ends.append(end)
            start = end + 1
        if not objects:
            lines = text.split(b"\n")
            found = [line + b"\n" for line in lines if line and not line.isspace()]
            if len(found) < len(lines) - 1:
                return cls.of_lines(b"".join(found))
        return cls(text, ends, objects=objects)

    def __len__(self) -> int:
        return len(self.ends)

    def text_at(self, place: int) -> bytes:
        """An event's text."""
        return self.text[self.ends[place - 1] + 1 if place else 0 : self.ends[place]]

    @property
    def texts(self) -> list[bytes]:
        """All events' texts."""
        return [*map(self.text_at, range(len(self.ends)))]


json_decoder: Final = msgspec.json.Decoder()
_REFUSED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_blocks(path: Path, wanted: Callable[[int], bool] = lambda _number: True) -> Iterator[Block | None]:
    """The file's events, block by block; ``None`` instead of a block whose number is not wanted.

    Blocks are cut at the same places however many are wanted. Blank lines are no events. Raise :class:`RuleError` for
    an unknown kind of file or one that is cut or broken.
    """
    name = path.name.lower()
    try:
        if name.endswith(".evtx"):
            yield from _evtx_blocks(path, wanted)
        elif name.endswith(".jsonl"):
            with path.open("rb", buffering=0) as stream:
                yield from _line_blocks(stream, wanted)
        elif name.endswith(".jsonl.gz"):
            with gzip.open(path) as unpacked:
                yield from _line_blocks(unpacked, wanted)
        elif name.endswith(".jsonl.zst"):
            with (
                path.open("rb") as packed,
                zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader,
            ):
                yield from _line_blocks(reader, wanted)
                _refuse_cut_frames(packed)
        else:
            raise RuleError(f"events are read from {', '.join(SUFFIXES)} files", str(path))
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as problem:
        raise RuleError(f"cannot be read: {problem}", str(path)) from problem


def read_events(path: Path) -> Iterator[Any]:
    """The events of a file in order; ``None`` stands for one that is no JSON. Raise as :func:`read_blocks`."""
    for block in read_blocks(path):
        if block is not None:
            yield from map(decoded, block.texts)


def decoded(text: bytes) -> Any:
    """The JSON value of an event's text, or ``None`` where it is none."""
    try:
        return json_decoder.decode(text)
    except _REFUSED:
        pass
    try:  # msgspec refuses lone surrogates and the like, which the standard library reads
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def decoded_lines(block: Block, count: int) -> Iterator[tuple[int, list[Any]]]:
    """What the block's events say, so many at once with the place of the first: JSON values, ``None`` where there is
    none."""
    text, ends = block.text, block.ends
    for first in range(0, len(ends), count):
        last = min(first + count, len(ends)) - 1
        if block.objects:
            start = ends[first - 1] + 1 if first else 0
            try:
                found: list[Any] = json_decoder.decode_lines(text[start : ends[last]])
            except _REFUSED:
                pass
            else:
                if len(found) == last + 1 - first:  # no line has two
                    yield first, found
                    continue
        yield first, [decoded(block.text_at(place)) for place in range(first, last + 1)]


def _line_blocks(
    stream: IO[bytes] | gzip.GzipFile | zstandard.ZstdDecompressionReader, wanted: Callable[[int], bool]
) -> Iterator[Block | None]:
    number, rest = 0, b""
    overlong = False
    while chunk := stream.read(_BLOCK_BYTES):
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest = b"" if overlong else rest + chunk
            overlong = overlong or len(rest) > MAX_LINE_BYTES
            continue
        if wanted(number):
            begun = UNREADABLE if overlong else rest
            first = chunk.find(b"\n") if overlong else 0
            yield Block.of_lines(b"".join((begun, memoryview(chunk)[first:cut])))
        else:
            yield None
        rest = chunk[cut:]
        number += 1
        overlong = False
    if overlong or rest.strip():
        yield Block.of_lines((UNREADABLE if overlong else rest) + b"\n") if wanted(number) else None


def _refuse_cut_frames(stream: BinaryIO) -> None:
    """Raise :class:`EOFError` where the last Zstandard frame is cut short, which the decompressor does not tell: it
    just has no more to give. The sizes of all blocks lead to where the file has to end."""
    size, at = stream.seek(0, io.SEEK_END), 0
    while at < size:
        stream.seek(at)
        head = stream.read(_LONGEST_FRAME_HEADER)
        if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        at += zstandard.frame_header_size(head)
        checksum = zstandard.get_frame_parameters(head).has_checksum
        last = False
        while not last:
            stream.seek(at)
            header = int.from_bytes(stream.read(3), "little")
            last, run = bool(header & 1), header >> 1 & 3 == _RUN_BLOCK
            at += 3 + (1 if run else header >> 3)
            if at > size:
                break
        at += 4 if checksum else 0
    if at > size:
        raise EOFError("the file ends in the middle of a Zstandard frame")


def _evtx_blocks(path: Path, wanted: Callable[[int], bool]) -> Iterator[Block | None]:
    from evtx import PyEvtxParser

    try:
        records = PyEvtxParser(str(path)).records_json()
    except RuntimeError as problem:
        raise RuleError(f"no EVTX file: {problem}", str(path)) from problem
    number = 0
    texts: list[bytes] = []
    while True:
        try:
            record = next(records)
            texts.append(UNREADABLE if record is None else _one_line(record["data"]))
        except StopIteration:
            break
        except RuntimeError:  # one broken record; the parser goes on behind it
            texts.append(UNREADABLE)
        if len(texts) == _BLOCK_RECORDS:
            yield Block.of_lines(b"".join(text + b"\n" for text in texts)) if wanted(number) else None
            number, texts = number + 1, []
    if texts:
        yield Block.of_lines(b"".join(text + b"\n" for text in texts)) if wanted(number) else None


def _one_line(text: object) -> bytes:
    """JSON text has line breaks between its parts only."""
    return str(text).encode("utf-8", "replace").replace(b"\n", b" ")
