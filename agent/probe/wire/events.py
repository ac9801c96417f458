"""What was counted, as events (docs/events.md, "Events of the probe"): measurements, never verdicts."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from agent.messages import Event, LogSource
from agent.probe.wire import rates

if TYPE_CHECKING:
    from agent.probe.wire.logins import Tries
    from agent.probe.wire.rates import Rate
    from agent.probe.wire.settings import TrafficSettings
    from agent.probe.wire.spread import Spread

TRAFFIC: Final = LogSource(product="probe", category="traffic")
CAPTURE: Final = LogSource(product="probe", category="capture")
#: Stands for the flags of a first fragment that holds none.
TINY: Final = 0x40
_FLAGS: Final = {0x00: "null", 0x01: "fin", 0x29: "xmas", TINY: "fragment"}
_TRANSPORTS: Final = {rates.SYN: "tcp", rates.UDP: "udp", rates.ICMP: "icmp", rates.UNASKED: "udp"}


class EventMaker:
    """Raise :class:`ValueError` where ``expected`` holds what is no address or network."""

    def __init__(self, settings: TrafficSettings) -> None:
        self._settings = settings
        self._expected = [ip_network(each, strict=False) for each in settings.expected]
        #: The probe's own addresses and cards: what its other parts ask is expected, what is sent in its name is not.
        self.own: frozenset[str] = frozenset()
        self.own_cards: frozenset[str] = frozenset()

    def spread(self, seen: Spread, transport: str, now: int, *, slow: bool = False) -> Event:
        """``traffic.kind`` ``ports``: many ports of one host; ``hosts``: one port (or an echo request) of many."""
        window = self._settings.slow_seconds if slow else self._settings.short_seconds
        tried = seen.ports or seen.hosts
        traffic: dict[str, Any] = {
            "kind": "ports" if seen.ports else "hosts",
            "window": "slow" if slow else "short",
            "window_seconds": int(window),
            "seconds": max(1, now - seen.began),
            "answered_ratio": round(seen.answered / tried, 3) if tried else 0.0,
            "refused_ratio": round(seen.refused / tried, 3) if tried else 0.0,
        }
        if seen.ports:
            traffic["distinct_ports"] = seen.ports
        else:
            traffic["distinct_hosts"] = seen.hosts
        if seen.more:
            traffic["more"] = True
        host = seen.host if seen.ports else b""
        return self._event(now, traffic, transport, seen.source, seen.mac, host, seen.port)

    def odd(self, seen: Spread, now: int, *, slow: bool = False) -> Event:
        """As :meth:`spread`, of packets whose flags open, carry and close nothing: ``traffic.kind`` ``flags``."""
        event = self.spread(replace(seen, source=seen.source[:-1]), "tcp", now, slow=slow)
        flags = seen.source[-1]
        event.fields["traffic"] |= {"kind": "flags", "tcp_flags": _FLAGS.get(flags, f"0x{flags:02x}")}
        return event

    def tries(self, seen: Tries, now: int) -> Event:
        """``traffic.kind`` ``logins``: short connections in a row to a port where people sign in."""
        traffic = {
            "kind": "logins",
            "window_seconds": int(self._settings.login_seconds),
            "seconds": max(1, now - seen.began),
            "connections": seen.connections,
            "short_connections": seen.short,
            "answer_bytes": seen.size // seen.short,
        }
        return self._event(now, traffic, "tcp", seen.source, seen.mac, seen.host, seen.port)

    def rate(self, seen: Rate, now: int) -> Event:
        """``traffic.kind`` ``syn``, ``udp``, ``icmp`` (a second to one host), or ``unasked``: answers that
        nobody asked for, of the service ``source.port``. Nobody's is expected: who may scan may not flood, and a
        flood's source is what the sender wrote."""
        traffic: dict[str, Any] = {
            "kind": seen.kind,
            "seconds": seen.seconds,
            "packets_per_second": seen.packets // seen.seconds,
        }
        if seen.size:
            traffic["bytes_per_second"] = seen.size // seen.seconds
        if seen.kind != rates.UNASKED:
            traffic["answered_ratio"] = round(min(1.0, seen.answers / max(1, seen.packets)), 3)
        if seen.kind == rates.SYN:
            traffic["finished_ratio"] = round(min(1.0, seen.finished / max(1, seen.packets)), 3)
        if seen.sources:
            traffic["distinct_sources"] = seen.sources
        unasked = seen.kind == rates.UNASKED
        event = self._event(
            now,
            traffic,
            _TRANSPORTS[seen.kind],
            seen.source,
            seen.mac,
            seen.host,
            b"" if unasked else seen.port,
            may_be_expected=False,
        )
        if unasked:
            event.fields["source.port"] = int.from_bytes(seen.port, "big")
        return event

    def _event(
        self,
        now: int,
        traffic: dict[str, Any],
        transport: str,
        source: bytes,
        mac: bytes,
        host: bytes,
        port: bytes,
        *,
        may_be_expected: bool = True,
    ) -> Event:
        fields: dict[str, Any] = {"probe.part": "wire", "traffic": traffic, "network.transport": transport}
        if source:
            fields["source.ip"] = address = _address(source)
            where = ip_address(address)
            itself = address in self.own and mac.hex(":") in self.own_cards
            if may_be_expected and (itself or any(where in network for network in self._expected)):
                traffic["expected"] = True
        if mac:
            fields["source.mac"] = mac.hex(":")
        if host:
            fields["destination.ip"] = _address(host)
        if port:
            fields["destination.port"] = int.from_bytes(port, "big")
        return Event(time=float(now), logsource=TRAFFIC, fields=fields)


def capture_event(
    now: float, interface: str, *, passed: int, dropped: int, one_in: int, untracked: int, untold: int
) -> Event:
    """That the probe did not see everything: frames for which there was no room, or one in several looked at; tries and
    frames for which the tables had no room, events for which the disk had none. All of this minute."""
    capture = {
        "interface": interface,
        "frames_count": passed,
        "dropped_count": dropped,
        "dropped_ratio": round(dropped / passed, 4) if passed else 0.0,
        "one_in": one_in,
        "untracked_count": untracked,
        "untold_count": untold,
    }
    return Event(time=now, logsource=CAPTURE, fields={"probe.part": "wire", "capture": capture})


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
