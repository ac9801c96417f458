"""Reads the answer to one request off a connection: the part of HTTP/1.1 (RFC 9112) that a collector, or a server in
front of it, answers an agent with. Python's own reader brings the parser of e-mail with it, a megabyte of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from typing import BinaryIO

_LINE_BYTES: Final = 8192
_MOST_FIELDS: Final = 100
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r?\n")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
#: So many interim answers (RFC 9110, 15.2) are passed over.
_MOST_INTERIM: Final = 8


class MalformedAnswerError(OSError):
    """It is not an answer that this reader understands; ``str()`` says what is wrong with it."""


class Answer(Struct, frozen=True):
    """``fields`` by their names in small letters, the first of each. ``ends``: the connection serves no further one."""

    status: int
    fields: dict[str, str]
    body: bytes
    ends: bool

    def field(self, name: str) -> str | None:
        """The value of a header field, whatever the case of its name."""
        return self.fields.get(name.lower())


def read_answer(stream: BinaryIO, most: int) -> Answer:
    """The next answer of ``stream``, with at most ``most`` bytes of its body; where it is longer, the connection
    ``ends``.

    Raises:
        ConnectionResetError: the stream is at its end before, or in the middle of it.
        MalformedAnswerError: it is not of the form.
        OSError: as the stream raises.
    """
    for _ in range(_MOST_INTERIM):
        version, status = _status(stream)
        fields = _fields(stream)
        if status >= 200:
            break
    else:
        raise MalformedAnswerError("the answer does not come to its end")
    if "transfer-encoding" in fields:
        raise MalformedAnswerError(f"an answer in a transfer coding: {fields['transfer-encoding'][:40]!r}")
    ends = "close" in fields.get("connection", "").lower() or version == b"0"
    if status in (204, 304):
        return Answer(status, fields, b"", ends)
    length = fields.get("content-length")
    if length is None:
        return Answer(status, fields, stream.read(most), ends=True)
    if _LENGTH.fullmatch(length) is None:
        raise MalformedAnswerError(f"not a length: {length[:40]!r}")
    wanted = min(int(length), most)
    body = stream.read(wanted)
    if len(body) < wanted:
        raise ConnectionResetError("the answer was cut off")
    return Answer(status, fields, body, ends or int(length) > most)


def _status(stream: BinaryIO) -> tuple[bytes, int]:
    line = stream.readline(_LINE_BYTES)
    if not line:
        raise ConnectionResetError("closed without an answer")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedAnswerError(f"not an answer of HTTP: {line[:40]!r}")
    return match[1], int(match[2])


def _fields(stream: BinaryIO) -> dict[str, str]:
    fields: dict[str, str] = {}
    for _ in range(_MOST_FIELDS):
        line = stream.readline(_LINE_BYTES)
        if line in (b"\r\n", b"\n"):
            return fields
        if not line:
            raise ConnectionResetError("the answer was cut off")
        match = _FIELD.fullmatch(line)
        if match is None:
            raise MalformedAnswerError(f"not a header field: {line[:40]!r}")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        if name == "content-length" and fields.get(name, value) != value:
            raise MalformedAnswerError("an answer of two lengths")
        fields.setdefault(name, value)
    raise MalformedAnswerError("an answer of too many header fields")
