"""Messages out of a stream: counted octets or lines (RFC 6587, RFC 5425), whichever a connection speaks."""

from __future__ import annotations

from typing import Final

#: A counted message beyond this is no syslog: the connection has lost its place.
MAX_COUNTED_BYTES: Final = 1 << 20
_LONGEST_COUNT: Final = 7
_LINE_FEED: Final = b"\n"
_ENDS: Final = b"\r\n\0 "


class Framer:
    """One connection's. ``cut`` counts messages that were longer than ``limit`` bytes and were cut to it; ``broken``
    says that it lost its place, or ended within a counted message: nothing more can be had of it.

    The first octet decides: a digit that is no line's beginning in either form of syslog means counted octets.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._counted: bool | None = None
        #: Counted: how many octets to pass over; lines: whether to pass over up to the next end.
        self._skip = 0
        self._skip_line = False
        self.cut = 0
        self.broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with ``data``, up to where the stream is ``broken``: there a count should be
        and is none. Never holds more than the limit and what came last."""
        if self.broken:
            return []
        if self._counted is None:
            data = data.lstrip(_ENDS)
            if not data:
                return []
            self._counted = data[:1].isdigit()
        return self._feed_counted(data) if self._counted else self._feed_lines(data)

    def rest(self) -> list[bytes]:
        """What is left when the other side has closed: a last line without an end. A counted message that has not come
        whole is none."""
        held, self._held = bytes(self._held), bytearray()
        if self._counted:
            self.broken = self.broken or bool(held)
            return []
        if self._skip_line:
            return []
        line = held.rstrip(_ENDS)
        return [line] if line else []

    def _feed_lines(self, data: bytes) -> list[bytes]:
        pieces = data.split(_LINE_FEED)
        last = pieces.pop()
        messages: list[bytes] = []
        for piece in pieces:
            line = piece
            if self._skip_line:
                self._skip_line = False
                continue
            if self._held:
                line = bytes(self._held + piece)
                self._held.clear()
            line = line.rstrip(_ENDS)
            if line:
                messages.append(self._limited(line))
        if not self._skip_line:
            self._held += last
            if len(self._held) > self._limit:
                messages.append(self._limited(bytes(self._held)))
                self._held.clear()
                self._skip_line = True
        return messages

    def _feed_counted(self, data: bytes) -> list[bytes]:
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        if self._held:
            self._held += data
            data = bytes(self._held)
            self._held.clear()
        messages: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if data[at] in _ENDS:  # some end a counted message with a line feed that they do not count
                at += 1
                continue
            space = data.find(b" ", at, at + _LONGEST_COUNT + 1)
            if space < 0:
                self.broken = end - at > _LONGEST_COUNT or not data[at:end].isdigit()
                break
            digits = data[at:space]
            if not digits.isdigit() or (count := int(digits)) > MAX_COUNTED_BYTES or not count:
                self.broken = True
                break
            begin = space + 1
            if end - begin < min(count, self._limit + 1):
                break
            message = data[begin : begin + count]
            message = message.rstrip(_ENDS)
            if message:
                messages.append(self._limited(message))
            at = begin + count
            if at > end:
                self._skip = at - end
                return messages
        if not self.broken:
            self._held += data[at:]
        return messages

    def _limited(self, message: bytes) -> bytes:
        if len(message) <= self._limit:
            return message
        self.cut += 1
        return message[: self._limit]
