"""What is kept of a device in a file of the part's own: which MACs are known behind which port, so that what is new is
told as new once (not after every night in which a machine was off), and when it started, so that a restart of the probe
is none of the device's."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE
from agent.probe.snmp.counters import Look  # noqa: TC001 - msgspec reads it
from agent.runtime.files import read_own, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.probe.snmp.tables import Entry

#: A MAC that was not seen for so long is told no more; after the second time it is news again.
_TOLD_SECONDS: Final = 7 * 86_400.0
_KEPT_SECONDS: Final = 60 * 86_400.0
#: When a MAC was last seen is written down no finer than this.
_FINE_SECONDS: Final = 3_600.0
_MOST: Final = 50_000
#: Ports that are kept of one MAC; the one where it was seen longest ago gives way.
_MOST_PORTS: Final = 8
#: Network neighbours that are kept as known, and ports as earlier uplinks.
_MOST_NEIGHBOURS: Final = 400
#: A port that led to a device that is asked is taken to lead there for so long after that was last seen.
_UPLINK_SECONDS: Final = 86_400.0
_MOST_BYTES: Final = 16 << 20


class Seen(Struct, array_like=True):
    """A MAC behind a port. ``new``: it came after the time in which all counts as known."""

    interface: str
    vlan: int | None
    new: bool
    last: float


class Known(Struct):
    """By MAC, then by the name of the interface. ``since``: the first look at the forwarding table."""

    since: float = 0.0
    at: dict[str, dict[str, Seen]] = {}

    def take(self, entries: Iterable[tuple[Entry, str]], now: float, learn_seconds: float) -> bool:
        """Note what is there now (with the interfaces' names); say whether it is worth writing down."""
        if not self.since:
            self.since = now
        learning = now - self.since < learn_seconds
        changed = False
        for entry, interface in entries:
            ports = self.at.setdefault(entry.mac, {})
            seen = ports.get(interface)
            if seen is None:
                if len(ports) >= _MOST_PORTS:
                    del ports[min(ports, key=lambda each: ports[each].last)]
                ports[interface] = Seen(interface, entry.vlan, not learning, now)
                changed = True
            else:
                # Known by now: what stays is told as it first was, what went and came back is not news.
                if now - seen.last > _TOLD_SECONDS:
                    seen.new = False
                changed = changed or now - seen.last > _FINE_SECONDS
                seen.last, seen.vlan = now, entry.vlan
        return self._forget(now) or changed

    def place(self, mac: str, now: float) -> Seen | None:
        """Where it was seen last, if that is not too long ago."""
        latest = max(self.at.get(mac, {}).values(), key=lambda seen: seen.last, default=None)
        return latest if latest is not None and now - latest.last <= _TOLD_SECONDS else None

    def _forget(self, now: float) -> bool:
        old = [
            (mac, port)
            for mac, ports in self.at.items()
            for port, seen in ports.items()
            if now - seen.last > _KEPT_SECONDS
        ]
        for mac, port in old:
            del self.at[mac][port]
            if not self.at[mac]:
                del self.at[mac]
        surplus = len(self.at) - _MOST
        if surplus > 0:
            by_age = sorted(self.at, key=lambda mac: max(seen.last for seen in self.at[mac].values()))
            for mac in by_age[:surplus]:
                del self.at[mac]
        return bool(old) or surplus > 0


class Paths(Struct):
    """Which ports lead to other network devices, as far as that may be believed. What a port hears by LLDP anybody may
    have sent who is plugged in there: such neighbours count where they came within the time of learning.

    ``neighbours``: those, by port and chassis; ``uplinks``: ports behind which a device that is asked was learned.
    Each with when that was so last. ``begun``: the first look; ``late``: the uplinks that showed after the time of
    learning, which somebody may feign who sends with another device's MAC; ``earlier``: ports that were uplinks and not
    late, whatever is switched off there at the moment.
    """

    begun: float = 0.0
    neighbours: dict[str, float] = {}
    uplinks: dict[str, float] = {}
    late: set[str] = set()
    earlier: dict[str, float] = {}

    def take(
        self, neighbours: Iterable[tuple[str, str]], uplinks: Iterable[str], now: float, learn_seconds: float
    ) -> bool:
        """Note the network neighbours (port, chassis) and the ports towards devices that are asked; say whether it is
        worth writing down."""
        if not self.begun:
            self.begun = now
        learning = now - self.begun < learn_seconds or now == self.begun
        changed = False
        expected = set()
        for interface, chassis in neighbours:
            key = f"{interface} {chassis}"
            if key in self.neighbours or (learning and len(self.neighbours) < _MOST_NEIGHBOURS):
                changed = changed or now - self.neighbours.get(key, 0.0) > _FINE_SECONDS
                self.neighbours[key] = now
                expected.add(interface)
        expected |= self.uplinks.keys() | self.earlier.keys()
        for interface in uplinks:
            if interface not in expected and not learning:
                self.late.add(interface)
            if interface not in self.late and (
                interface in self.earlier or len(self.earlier) < _MOST_NEIGHBOURS
            ):
                self.earlier[interface] = now
            changed = changed or now - self.uplinks.get(interface, 0.0) > _FINE_SECONDS
            self.uplinks[interface] = now
        for kept, seconds in (
            (self.neighbours, _KEPT_SECONDS),
            (self.uplinks, _UPLINK_SECONDS),
            (self.earlier, _KEPT_SECONDS),
        ):
            for key in [key for key, last in kept.items() if now - last > seconds]:
                del kept[key]
                changed = True
        self.late &= self.uplinks.keys()
        return changed

    def knows(self, interface: str, chassis: str) -> bool:
        """Whether this neighbour was there while all counted as known."""
        return f"{interface} {chassis}" in self.neighbours


class Memory(Struct):
    """``clock``: of the device; ``engine``: of its SNMP engine, to which tables refer. ``profile``: as found last.
    ``backups_good``, ``backups_failed``: as :class:`agent.probe.snmp.backups.Backups` keeps them."""

    known: Known = msgspec.field(default_factory=Known)
    paths: Paths = msgspec.field(default_factory=Paths)
    clock: Look | None = None
    engine: Look | None = None
    restarts: int = 0
    profile: str = ""
    backups_good: dict[str, float] = {}
    backups_failed: dict[str, float] = {}


def load_memory(path: Path) -> Memory:
    """Empty where there is no such file, or it cannot be read: all is learned anew then."""
    with contextlib.suppress(OSError, *UNREADABLE):
        return msgspec.json.decode(read_own(path, _MOST_BYTES), type=Memory)
    return Memory()


def save_memory(path: Path, memory: Memory) -> None:
    """Raise :class:`OSError`."""
    write_atomically(path, msgspec.json.encode(memory), durable=False)


def load_told(path: Path) -> dict[str, Any]:
    """What was told of the device last while it answered; empty where nothing was."""
    with contextlib.suppress(OSError, *UNREADABLE):
        return msgspec.json.decode(read_own(path, _MOST_BYTES), type=dict[str, Any])
    return {}


def save_told(path: Path, body: dict[str, Any]) -> None:
    """Raise :class:`OSError`."""
    write_atomically(path, msgspec.json.encode(body), durable=False)
