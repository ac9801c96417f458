"""One spool file: a batch, and what becomes true with it.

The file is ``VGS1``, the length of the head and a CRC-32 of all that follows (both 4 bytes, big-endian), the
head as JSON, and the batch's Zstandard frame. The head carries the collectors' new cursors and the documents'
new digests: they are committed by the same rename that commits the batch, so an event is neither read again
after a crash nor skipped.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE, Importance
from agent.runtime.errors import TornFileError

MAGIC: Final = b"VGS1"
_FIXED: Final = 12

#: What a batch holds at most, least valuable first: the order in which a full spool lets go. ``ALARMS`` are events
#: of an antivirus.
CHATTER: Final = 0
DOCUMENTS: Final = 1
EVENTS: Final = 2
ALARMS: Final = 3
WEIGHTS: Final = (CHATTER, DOCUMENTS, EVENTS, ALARMS)
#: How important each is to the collector: the order in which they are sent. (A document can be made again and an event
#: cannot, so what is let go first is not what is sent last.)
IMPORTANCE: Final = (Importance.CHATTER, Importance.STATUS, Importance.EVENTS, Importance.STATUS)


class Head(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``more``: the next file belongs to the same commit, and this one does not count without it.

    ``counts`` is the batch's content per kind. ``cursors`` are collectors' whole memories, by collector.
    ``digests`` are of the documents in the batch (``None``: the item is gone). ``replaces``: the files of the same
    weight whose content, with that of the one of its own id, it holds.
    """

    made_at: float
    counts: dict[str, int] = {}
    cursors: dict[str, dict[str, Any]] = {}
    digests: dict[str, str | None] = {}
    more: bool = False
    replaces: list[int] = []


class FileName(Struct, frozen=True):
    """``<id>.<weight>[.<number>].zst``: the number in the stream is written before the first attempt."""

    id: int
    weight: int
    seq: int = 0

    def encode(self) -> str:
        number = f".{self.seq}" if self.seq else ""
        return f"{self.id:012d}.{self.weight}{number}.zst"

    @classmethod
    def decode(cls, name: str) -> FileName | None:
        match = re.fullmatch(r"([0-9]{12,15})\.([0-3])(?:\.([1-9][0-9]{0,14}))?\.zst", name)
        return cls(id=int(match[1]), weight=int(match[2]), seq=int(match[3] or 0)) if match else None


_head_decoder = msgspec.json.Decoder(Head)
_head_encoder = msgspec.json.Encoder()


def encode_file(head: Head, body: bytes) -> bytes:
    encoded = _head_encoder.encode(head)
    crc = zlib.crc32(body, zlib.crc32(encoded))
    return b"".join((MAGIC, len(encoded).to_bytes(4, "big"), crc.to_bytes(4, "big"), encoded, body))


def decode_file(data: bytes) -> tuple[Head, bytes]:
    """Return the head and the Zstandard frame.

    Raises:
        TornFileError: ``data`` is not, to the last bit, what :func:`encode_file` gave.
    """
    if len(data) < _FIXED or data[:4] != MAGIC:
        raise TornFileError("not a spool file")
    length = int.from_bytes(data[4:8], "big")
    if zlib.crc32(data[_FIXED:]) != int.from_bytes(data[8:12], "big") or len(data) < _FIXED + length:
        raise TornFileError("cut off or overwritten")
    try:
        return _head_decoder.decode(data[_FIXED : _FIXED + length]), data[_FIXED + length :]
    except UNREADABLE as error:
        raise TornFileError(f"unreadable head: {error}") from error
