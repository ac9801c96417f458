"""Ethernet frames without checksums, and what a watch and the rules make of them."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.probe.wire.watch import Watch
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine, Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.messages import Event as Told
    from agent.probe.wire.settings import WireSettings

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ETHERNET: Final = 14
#: When the frames' time begins, in seconds.
BEGIN: Final = 1_763_600_000
#: A frame and when it came, in seconds behind :data:`BEGIN`.
Timed = tuple[float, bytes]
_ADDRESSES: dict[str, bytes] = {}


def packed(ip: str) -> bytes:
    found = _ADDRESSES.get(ip)
    if found is None:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        found = _ADDRESSES[ip] = socket.inet_pton(family, ip)
    return found


def _frame(source: str, to: str, protocol: int, content: bytes, size: int) -> bytes:
    of, at = packed(source), packed(to)
    macs = b"\x52\x54\0\0\0" + at[-1:] + b"\x52\x54\0\0\0" + of[-1:]
    if len(of) == 4:
        head = struct.pack("!BBHIBBH4s4s", 0x45, 0, 20 + size, 0, 64, protocol, 0, of, at)
        frame = macs + b"\x08\x00" + head + content
    else:
        head = struct.pack("!IHBB16s16s", 6 << 28, size, protocol, 64, of, at)
        frame = macs + b"\x86\xdd" + head + content
    return frame + bytes(max(0, 60 - len(frame)))


def tcp(
    source: str, port: int, to: str, to_port: int, flags: int, *, number: int = 0, reached: int = 0
) -> bytes:
    content = struct.pack("!HHIIBBHHH", port, to_port, number, reached, 0x50, flags, 1024, 0, 0)
    return _frame(source, to, 6, content, 20)


def udp(source: str, port: int, to: str, to_port: int, size: int = 60) -> bytes:
    return _frame(source, to, 17, struct.pack("!HHHH", port, to_port, 8 + size, 0), 8 + size)


def echo(source: str, to: str, *, reply: bool = False) -> bytes:
    kind = (129 if reply else 128) if ":" in source else 0 if reply else 8
    return _frame(source, to, 58 if ":" in source else 1, struct.pack("!BBHHH", kind, 0, 0, 1, 1), 8)


def refused(source: str, answer_to: bytes) -> bytes:
    """ICMP: the port that ``answer_to`` went to is closed."""
    inner = answer_to[ETHERNET : ETHERNET + 28]
    to = socket.inet_ntop(socket.AF_INET, inner[12:16])
    return _frame(source, to, 1, struct.pack("!BBHI", 3, 3, 0, 0) + inner, 36)


def replayed(
    settings: WireSettings, frames: Iterable[Timed], own: Iterable[str] = (), cards: Iterable[str] = ()
) -> tuple[Watch, list[Told]]:
    """What a watch tells of them, in their own time, and ten seconds more. ``own``, ``cards``: the probe's
    addresses and MACs."""
    watch, told, last = Watch(settings), [], BEGIN
    watch.knows_own(own, cards)
    take = watch.take
    for at, frame in frames:
        second = BEGIN + int(at)
        if second != last:
            told += watch.collect()
            last = second
        take(frame, 0, 0, ETHERNET, len(frame), len(frame), second)
    for more in range(1, 11):
        watch.tick(last + more)
    return watch, told + watch.collect()


class Judge:
    """Our own network rules, one event after another."""

    def __init__(self) -> None:
        folder = OWN_RULES / "network"
        self._engine, self._catalogue = Engine([folder]), load_catalogue([folder])
        self._seen = 0
        #: By the names of the rules that fired: the events that made them.
        self.fired: dict[str, list[Told]] = {}

    def see(self, told: Sequence[Told]) -> dict[str, list[Told]]:
        """All that was told so far; what was seen before is passed over."""
        for each in told[self._seen :]:
            self._seen += 1
            source, fields = each.logsource, {**each.fields, "host.id": "probe"}
            event = Event(str(self._seen), each.time, source.product, source.category, source.service, fields)
            for finding in self._engine.process(event):
                name = Path(self._catalogue[finding.rule_id].path).stem
                self.fired.setdefault(name, []).append(each)
        return self.fired
