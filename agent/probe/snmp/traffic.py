"""What interfaces carry: growth of counters between polls, summed up until it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.probe.snmp import oids
from agent.probe.snmp.counters import increase
from agent.probe.snmp.values import Value, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.probe.snmp.tables import Interface

_WIDE: Final = (oids.IF_HC_IN_OCTETS, oids.IF_HC_OUT_OCTETS, oids.IF_HC_IN_UCAST, oids.IF_HC_OUT_UCAST)
_NARROW: Final = (oids.IF_IN_OCTETS, oids.IF_OUT_OCTETS, oids.IF_IN_UCAST, oids.IF_OUT_UCAST)
_FAULTS: Final = (oids.IF_IN_ERRORS, oids.IF_OUT_ERRORS, oids.IF_IN_DISCARDS, oids.IF_OUT_DISCARDS)
#: Where an interface does not tell its speed, nothing faster than this is believed: 400 Gbit/s.
_FASTEST: Final = 400e9
#: The shortest frame on the wire with its gap, in bits: no interface has more frames a second than this allows.
_SHORTEST_FRAME_BITS: Final = 672.0
#: Speeds are rounded, and clocks of probe and device differ.
_SLACK: Final = 1.5


class Sums(Struct, frozen=True):
    """Over ``seconds``; bytes and frames."""

    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    frames: int = 0
    errors: int = 0
    discards: int = 0


class Traffic(Struct):
    """One interface. ``counters``: as last seen, ``None`` after a break; ``sums``: since they were last taken."""

    at: float = 0.0
    counters: tuple[int | None, ...] = ()
    discontinuity: int | None = None
    sums: Sums = Sums()

    def take(self, at: float, interface: Interface, found: Mapping[str, Value], *, restarted: bool) -> None:
        """Add a poll's counters. After a restart of the device or a discontinuity of the interface they begin anew, and
        so where one fell without a wrap."""
        names = counters_of(interface)
        now = tuple(number(found.get(f"{name}.{interface.index}")) for name in names)
        discontinuity = number(found.get(f"{oids.IF_DISCONTINUITY}.{interface.index}"))
        before, passed = self.counters, at - self.at
        broken = restarted or discontinuity != self.discontinuity or len(before) != len(now) or passed <= 0
        self.at, self.counters, self.discontinuity = at, now, discontinuity
        if broken:
            return
        speed = float(interface.speed or _FASTEST) * _SLACK
        bits = [64 if interface.wide else 32] * 4 + [32] * 4
        mosts = [speed / 8 * passed] * 2 + [speed / _SHORTEST_FRAME_BITS * passed] * 6
        grown = [
            None if old is None or new is None else increase(old, new, wide, max(most, 1e6))
            for old, new, wide, most in zip(before, now, bits, mosts, strict=True)
        ]
        if grown[0] is None or grown[1] is None:
            return
        sums = self.sums
        known = [each or 0 for each in grown]
        self.sums = Sums(
            sums.seconds + passed,
            sums.received + known[0],
            sums.sent + known[1],
            sums.frames + known[2] + known[3],
            sums.errors + known[4] + known[5],
            sums.discards + known[6] + known[7],
        )

    def taken(self) -> Sums:
        """The sums, which begin anew."""
        sums, self.sums = self.sums, Sums()
        return sums


def counters_of(interface: Interface) -> tuple[str, ...]:
    """The columns that are asked for: octets, frames, errors and discards, in and out."""
    return (*(_WIDE if interface.wide else _NARROW), *_FAULTS)
