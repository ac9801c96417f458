"""Looks at a batch from outside: its header, and what its Zstandard frame says of itself. Opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import zstandard

from agent.messages import (
    BATCH_HEADER,
    IMPORTANCE_HEADER,
    MAX_BODY_BYTES,
    MAX_DECODED_BYTES,
    BatchHeader,
    Importance,
)
from collector.ingest.problems import envelope, too_large

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = BATCH_HEADER.lower().encode("ascii")
_IMPORTANCE = IMPORTANCE_HEADER.lower().encode("ascii")
#: What calls itself status and is larger waits with the events. A machine's whole software list is a tenth of it.
MAX_STATUS_BYTES: Final = 256 << 10


def read_header(headers: Sequence[tuple[bytes, bytes]], *, first: int) -> BatchHeader:
    """The one ``Vonggac-Batch`` header; its number is at least ``first``. Raise a 422 refusal otherwise."""
    values = [value for name, value in headers if name == _NAME]
    if len(values) != 1:
        raise envelope(f"{len(values)} {BATCH_HEADER} headers, expected one")
    try:
        header = BatchHeader.decode(values[0].decode("ascii"))
    except (ValueError, UnicodeDecodeError) as error:
        raise envelope(str(error)) from error
    if header.seq < first:
        raise envelope(f"{BATCH_HEADER}: numbers begin at {first}")
    return header


def read_importance(headers: Sequence[tuple[bytes, bytes]], length: int | None) -> Importance:
    """What the sender says, of a batch small enough to be that; ``EVENTS`` where it says nothing we know."""
    said = next((value for name, value in headers if name == _IMPORTANCE), b"")
    importance = Importance.of(said.decode("latin-1"))
    if importance is None:
        return Importance.EVENTS
    too_large = importance is Importance.STATUS and (length is None or length > MAX_STATUS_BYTES)
    return Importance.EVENTS if too_large else importance


def declared_length(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """``Content-Length`` where there is one. Raise a 413 refusal where it is above the bound."""
    for name, value in headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0  # the HTTP parser has refused the others
            if length > MAX_BODY_BYTES:
                raise too_large(f"the body is {length} bytes, at most {MAX_BODY_BYTES} are taken")
            return length
    return None


def check_frame(body: bytes) -> None:
    """Raise a 422 or 413 refusal unless ``body`` begins a Zstandard frame that declares a bearable size."""
    if not body.startswith(zstandard.FRAME_HEADER):
        raise envelope("the body is not a Zstandard frame")
    try:
        frame: Any = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as error:
        raise envelope(f"the body is not a Zstandard frame: {error}") from error
    size = frame.content_size
    if size == zstandard.CONTENTSIZE_UNKNOWN:
        raise envelope("the Zstandard frame does not declare its content's size")
    if size == zstandard.CONTENTSIZE_ERROR or frame.dict_id:
        raise envelope("the Zstandard frame's header is not one that is read here")
    if size > MAX_DECODED_BYTES or frame.window_size > MAX_DECODED_BYTES:
        raise too_large(f"the content is {size} bytes, at most {MAX_DECODED_BYTES} are taken")
