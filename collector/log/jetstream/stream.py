"""The log's one stream: its name, its subjects, how rows are written on the wire, and where its offsets start.

Offset of a row = *base* + its sequence number in the stream. The base is 0 unless a stream was lost and
made anew (or brought back from an older copy) behind what the workers had read already; it stands in the stream's
description, because server 2.9 cannot start a stream at a number.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.messages import MAX_BODY_BYTES
from collector.log.errors import LogDamagedError, LogError
from collector.log.interface import LogRow
from collector.log.jetstream.link import ApiError, Link

if TYPE_CHECKING:
    from collector.settings import Log

NAME: Final = "VONGGAC_LOG"
SUBJECTS: Final = "vonggac.log.*"
NOT_FOUND: Final = 10059
NO_MESSAGE: Final = 10037
#: The store's bound, JetStream's own storage, and a write that the disk refused.
FULL: Final = frozenset({10023, 10047, 10077})

_DESCRIPTION: Final = "Vong Gac, durable log; offset = sequence + {}"
_BASE: Final = re.compile(r"offset = sequence \+ ([0-9]+)$")
_NANOSECONDS: Final = 1_000_000_000
#: What a message is larger than a body: names and numbers of the row.
_OVERHEAD_BYTES: Final = 4096


class _Wire(msgspec.Struct, array_like=True, frozen=True, gc=False):
    kind: str
    endpoint_id: str
    stream: str
    seq: int
    sent_at: float
    received_at: float
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


def subject_of(partition: int) -> str:
    return f"vonggac.log.{partition}"


def to_wire(row: LogRow) -> bytes:
    """MessagePack: an array of the row's fields but the offset."""
    return bytes(
        _encode(_Wire(row.kind, row.endpoint_id, row.stream, row.seq, row.sent_at, row.received_at, row.body))
    )


def from_wire(data: bytes, offset: int) -> LogRow:
    """
    Raises:
        msgspec.MsgspecError: this is no row of ours.
    """
    wire = _decode(data)
    return LogRow(
        offset, wire.kind, wire.endpoint_id, wire.stream, wire.seq, wire.sent_at, wire.received_at, wire.body
    )


def message_id(row: LogRow) -> str | None:
    """What JetStream knows a repeated batch by, number and content; None for a heartbeat, each of which is a row."""
    if row.kind != "batch":
        return None
    return f"{row.endpoint_id}/{row.stream}/{row.seq}/{zlib.crc32(row.body):08x}"


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream as it was looked at. ``created`` tells it from another one of the same name."""

    base: int
    created: str
    first_seq: int
    last_seq: int

    @property
    def last_offset(self) -> int:
        return self.base + self.last_seq if self.last_seq else self.base


async def look(link: Link) -> Stream:
    """
    Raises:
        LogDamagedError: there is no such stream, or it is not ours.
        LogError: no answer.
    """
    try:
        return _read(await link.request(f"STREAM.INFO.{NAME}"))
    except ApiError as error:
        if error.code == NOT_FOUND:
            raise LogDamagedError(
                f"{link.where}: there is no stream {NAME}: `vonggac serve` makes it when it starts"
            ) from error
        raise


async def make(link: Link, settings: Log) -> Stream:
    """The stream as the settings want it, made where it is missing. Several may do it at once.

    Raises:
        LogError: the servers are too few for its replicas, have not the room, or take too small messages.
    """
    needed = MAX_BODY_BYTES + _OVERHEAD_BYTES
    if link.client.max_payload < needed:
        raise LogError(
            f"{link.where}: NATS takes messages of {link.client.max_payload} bytes at most:"
            " set `max_payload: 2MB` in the configuration of its servers"
        )
    try:
        found = await link.request(f"STREAM.INFO.{NAME}")
    except ApiError as error:
        if error.code != NOT_FOUND:
            raise
        return _read(await link.request(f"STREAM.CREATE.{NAME}", _wanted(settings, 0)))
    stream = _read(found)
    wanted = _wanted(settings, stream.base)
    if any(found["config"].get(key) != value for key, value in wanted.items()):
        found = await link.request(f"STREAM.UPDATE.{NAME}", {**found["config"], **wanted})
    return _read(found)


async def start_behind(link: Link, settings: Log, base: int) -> Stream:
    """Make offsets start behind ``base``, those of the rows that it holds included."""
    found = await link.request(f"STREAM.INFO.{NAME}")
    return _read(await link.request(f"STREAM.UPDATE.{NAME}", {**found["config"], **_wanted(settings, base)}))


async def next_message(link: Link, seq: int, subject: str = SUBJECTS) -> tuple[int, bytes] | None:
    """The first message of the subject at or behind the number, from the stream's leader."""
    try:
        found = await link.request(f"STREAM.MSG.GET.{NAME}", {"seq": max(seq, 1), "next_by_subj": subject})
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    message = found["message"]
    return int(message["seq"]), base64.b64decode(message.get("data", ""))


def _wanted(settings: Log, base: int) -> dict[str, Any]:
    return {
        "name": NAME,
        "description": _DESCRIPTION.format(base),
        "subjects": [SUBJECTS],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": settings.replicas,
        "max_bytes": settings.max_bytes,
        "duplicate_window": settings.repeats_seconds * _NANOSECONDS,
    }


def _read(info: dict[str, Any]) -> Stream:
    base = _BASE.search(info["config"].get("description", ""))
    if base is None:
        raise LogDamagedError(
            f"the stream {NAME} is not ours or was changed by hand: its description must end in"
            " `offset = sequence + N`"
        )
    state = info["state"]
    return Stream(int(base[1]), str(info["created"]), int(state["first_seq"]), int(state["last_seq"]))
