"""Takes frames apart by offsets alone and counts them; time is that of the frames, so that an hour's may be replayed in
seconds.

IPv4 with options and IPv6 without extension headers are understood (RFC 791, 8200, 9293, 768, 792, 4443); what is cut
or is something else is counted and passed over.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from agent.probe.wire import rates
from agent.probe.wire.events import TINY, EventMaker
from agent.probe.wire.filter import FIRST_HIGH_PORT, QUIC_PORT
from agent.probe.wire.logins import LoginTable
from agent.probe.wire.rates import RateTable
from agent.probe.wire.spread import ANSWERED, REFUSED, SpreadTable

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterable

    from agent.messages import Event
    from agent.probe.wire.settings import WireSettings

_FIN, _SYN, _RST, _PSH, _ACK, _URG = 1, 2, 4, 8, 16, 32
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_V4: Final = struct.Struct("!9xB2x4s4s")
_V6: Final = struct.Struct("!6xB1x16s16s")
_PORTS: Final = struct.Struct("!2s2s")
_TCP_HEAD: Final = struct.Struct("!2s2sII1xB")
#: The usual packet in one go: protocol, addresses, ports, TCP's numbers and flags.
_V4_TCP: Final = struct.Struct("!9xB2x4s4s2s2sII1xB")
_MAC_AT: Final = 6
#: Time goes back by less than this where frames were waiting; by more, where the clock was set.
_BACK_SECONDS: Final = 5
#: Services whose answers are larger than their questions: attackers ask in the victim's name (US-CERT TA14-017A).
_REFLECTORS: Final = (
    17,
    19,
    53,
    69,
    111,
    123,
    137,
    161,
    389,
    520,
    1900,
    3283,
    3702,
    5353,
    5683,
    10001,
    11211,
)
_UNREACHABLE, _UNREACHABLE6 = 3, 1
_ECHO_REPLY, _ECHO, _ECHO6, _ECHO_REPLY6 = 0, 8, 128, 129
#: IPv4's bit for a packet whose rest follows, in the first of two bytes.
_MORE_FRAGMENTS: Final = 0x20
#: So much of TCP tells its flags.
_TCP_LEAST: Final = 14
#: What opens, carries and closes nothing: flags without SYN, RST and ACK, SYN with FIN, and a first fragment without
#: flags. Which of them a host refused is not told.
_ODD_FLAGS: Final = (
    0,
    _FIN,
    _PSH,
    _FIN | _PSH,
    _URG,
    _FIN | _URG,
    _PSH | _URG,
    _FIN | _PSH | _URG,
    _SYN | _FIN,
    TINY,
)
#: DHCP servers send to it whoever has not asked.
_BOOTPC: Final = 68
_RESERVED_PORTS: Final = 1024


class Watch:
    """:meth:`take` each frame; :meth:`collect` what is to be told. ``weight``: how many frames one that is seen stands
    for; ``bulk_weight``: the same for UDP content beside that."""

    def __init__(self, settings: WireSettings) -> None:
        traffic = settings.traffic
        self.weight = 1
        self.bulk_weight = settings.capture.bulk_one_in
        self.frames = 0
        #: Frames that were cut, or of a kind that is not understood.
        self.not_read = 0
        self._second = 0
        self._events: list[Event] = []
        self._make = EventMaker(traffic)
        self._slow = {
            name: SpreadTable(traffic.slow_seconds, traffic.slow_ports, traffic.slow_hosts)
            for name in ("tcp", "udp")
        }
        odd_ports = max(2, traffic.ports // 2)
        self._slow["odd"] = SpreadTable(traffic.slow_seconds, odd_ports, traffic.hosts)
        short = (traffic.short_seconds, traffic.ports, traffic.hosts)
        self._tcp = SpreadTable(*short, leaves=self._leaver("tcp"))
        self._udp = SpreadTable(*short, leaves=self._leaver("udp"))
        self._icmp = SpreadTable(*short)
        self._odd = SpreadTable(traffic.short_seconds, odd_ports, traffic.hosts, leaves=self._leaver("odd"))
        self._rates = RateTable(
            {
                rates.SYN: traffic.syn_per_second,
                rates.UDP: traffic.udp_per_second,
                rates.ICMP: traffic.icmp_per_second,
                rates.UNASKED: traffic.unasked_per_second,
            }
        )
        self._logins = LoginTable(traffic.login_seconds, traffic.login_tries)
        self._most_answered = traffic.answered_ratio
        self._login_ports = frozenset(port.to_bytes(2, "big") for port in traffic.login_ports)
        self._reflectors = frozenset(port.to_bytes(2, "big") for port in _REFLECTORS)

    @property
    def sources(self) -> int:
        """How many sources are known now."""
        return sum(len(table) for table in (self._tcp, self._udp, self._icmp, self._odd))

    @property
    def untracked(self) -> int:
        """What found no room in the tables so far."""
        tables = (self._tcp, self._udp, self._icmp, self._odd, *self._slow.values())
        return sum(table.untracked for table in tables) + self._rates.untracked + self._logins.untracked

    def take(
        self,
        memory: bytes | mmap.mmap,
        start: int,
        mac: int,
        net: int,
        captured: int,
        length: int,
        second: int,
    ) -> None:
        """One frame (see :meth:`agent.probe.wire.ring.Ring.read`)."""
        if second != self._second:
            self.tick(second)
        self.frames += 1
        at, room = start + net, captured - (net - mac)
        try:
            first = memory[at]
            if (
                first == 0x45
                and room >= 34
                and memory[at + 9] == _TCP
                and not memory[at + 6] & _MORE_FRAGMENTS
            ):
                _, source, host, from_port, port, number, reached, flags = _V4_TCP.unpack_from(memory, at)
                self._take_tcp(memory, start + mac, source, host, from_port, port, number, reached, flags)
                return
            if first >> 4 == 4:
                header = (first & 15) * 4
                protocol, source, host = _V4.unpack_from(memory, at)
                if protocol == _TCP and memory[at + 6] & _MORE_FRAGMENTS:
                    size = memory[at + 2] << 8 | memory[at + 3]
                    if size - header < _TCP_LEAST:
                        self._take_tiny(memory, start + mac, at + header, room - header, source, host)
                        return
            else:
                header = 40
                protocol, source, host = _V6.unpack_from(memory, at)
            self._take_other(memory, start + mac, at + header, room - header, protocol, source, host, length)
        except (struct.error, IndexError):
            self.not_read += 1

    def knows_own(self, addresses: Iterable[str], cards: Iterable[str]) -> None:
        """These are the probe's own: what one of the addresses tries by one of the cards (MACs) is told as expected."""
        self._make.own, self._make.own_cards = frozenset(addresses), frozenset(cards)

    def tick(self, second: int) -> None:
        """It is ``second`` now: what is due becomes events. Also to be called while no frames come."""
        if 0 <= self._second - second < _BACK_SECONDS:  # frames wait a moment before they are read
            return
        self._second = second
        make = self._make
        for transport, table in (("tcp", self._tcp), ("udp", self._udp), ("icmp", self._icmp)):
            for each in table.tick(second):
                answered = each.answered / (each.ports or each.hosts or 1)
                if answered <= self._most_answered or each.port in self._login_ports:
                    self._events.append(make.spread(each, transport, second))
        self._events += [make.odd(each, second) for each in self._odd.tick(second)]
        for transport, table in self._slow.items():
            for each in table.tick(second):
                odd = transport == "odd"
                made = (
                    make.odd(each, second, slow=True)
                    if odd
                    else make.spread(each, transport, second, slow=True)
                )
                self._events.append(made)
        self._events += [make.rate(each, second) for each in self._rates.tick()]

    def collect(self) -> list[Event]:
        """The events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _leaver(self, name: str) -> Callable[[bytes, bytes, list[bytes]], None]:
        def leaves(source: bytes, mac: bytes, targets: list[bytes]) -> None:
            table, now = self._slow[name], self._second
            for target in targets:
                table.tries(source, mac, target[:-2], target[-2:], now)

        return leaves

    # -- TCP -------------------------------------------------------------------------------------------------

    def _take_tcp(
        self,
        memory: bytes | mmap.mmap,
        frame: int,
        source: bytes,
        host: bytes,
        from_port: bytes,
        port: bytes,
        number: int,
        reached: int,
        flags: int,
    ) -> None:
        flags &= 0x3F
        counts, weight = self._rates, self.weight
        if flags & (_SYN | _ACK | _RST) == _SYN:  # with PSH or URG, too: systems take it for a SYN
            if flags & _FIN:
                self._take_odd(memory, frame, source, host, port, flags)
            key = host + port
            if counts.has_room(counts.syn, key):
                counts.syn[key] += weight
            mac = memory[frame + _MAC_AT : frame + _MAC_AT + 6]
            if key in counts.hot[rates.SYN]:
                counts.sent(rates.SYN, key, source, mac, port)
                if not self._tcp.knows(source):
                    return  # most likely spoofed
            self._tcp.tries(source, mac, host, port, self._second)
            if port in self._login_ports:
                self._logins.begins(source, mac, host, port, self._second)
        elif flags & (_SYN | _ACK) == _SYN | _ACK:
            key = source + from_port
            if key in counts.syn:
                counts.syn_answers[key] += weight
            self._tcp.answers(host, source, from_port, ANSWERED)
            if from_port in self._login_ports:
                self._logins.accepted(host, source, from_port, port, number, self._second)
        elif flags & (_RST | _ACK):
            if flags & _RST:
                if not self._tcp.answers(host, source, from_port, REFUSED):
                    for name in _ODD_FLAGS:
                        self._odd.answers(host + bytes((name,)), source, from_port, REFUSED)
                # With both a number of its own and one of the other's it ends what was open; what it refuses has but
                # one of them (RFC 9293, 3.10.7.1).
                if flags & _ACK and number and (key := source + from_port) in counts.syn:
                    counts.finished_back[key] += weight
            elif flags & _FIN:
                if counts.has_room(counts.finished, host + port):
                    counts.finished[host + port] += weight
                if (key := source + from_port) in counts.syn:
                    counts.finished_back[key] += weight
            if port in self._login_ports:
                self._login_ends(source, host, port, from_port, reached)
            elif from_port in self._login_ports:
                self._login_ends(host, source, from_port, port, number)
        else:
            self._take_odd(memory, frame, source, host, port, flags)

    def _take_odd(
        self, memory: bytes | mmap.mmap, frame: int, source: bytes, host: bytes, port: bytes, flags: int
    ) -> None:
        mac = memory[frame + _MAC_AT : frame + _MAC_AT + 6]
        self._odd.tries(source + bytes((flags,)), mac, host, port, self._second)

    def _take_tiny(
        self, memory: bytes | mmap.mmap, frame: int, at: int, room: int, source: bytes, host: bytes
    ) -> None:
        """A first fragment that ends within TCP's header (RFC 1858), as no system makes it."""
        if room < _PORTS.size:
            self.not_read += 1
            return
        _, port = _PORTS.unpack_from(memory, at)
        self._take_odd(memory, frame, source, host, port, TINY)

    def _login_ends(self, source: bytes, host: bytes, port: bytes, from_port: bytes, reached: int) -> None:
        tries = self._logins.ends(source, host, port, from_port, reached, self._second)
        if tries is not None:
            self._events.append(self._make.tries(tries, self._second))

    # -- UDP, ICMP, and TCP in less usual packets ------------------------------------------------------------

    def _take_other(
        self,
        memory: bytes | mmap.mmap,
        frame: int,
        at: int,
        room: int,
        protocol: int,
        source: bytes,
        host: bytes,
        length: int,
    ) -> None:
        if protocol == _UDP and room >= 8:
            from_port, port = _PORTS.unpack_from(memory, at)
            self._take_udp(memory, frame, source, host, from_port, port, length)
        elif protocol == _TCP and room >= 14:
            from_port, port, number, reached, flags = _TCP_HEAD.unpack_from(memory, at)
            self._take_tcp(memory, frame, source, host, from_port, port, number, reached, flags)
        elif protocol == _ICMP and room >= 8:
            self._take_icmp(memory, frame, source, host, memory[at] == _ECHO, memory[at] == _ECHO_REPLY)
            if memory[at] == _UNREACHABLE:
                self._unreachable(memory, at + 8, room - 8)
        elif protocol == _ICMP6 and room >= 8:
            self._take_icmp(memory, frame, source, host, memory[at] == _ECHO6, memory[at] == _ECHO_REPLY6)
            if memory[at] == _UNREACHABLE6:
                self._unreachable(memory, at + 8, room - 8)
        else:
            self.not_read += 1

    def _take_udp(
        self,
        memory: bytes | mmap.mmap,
        frame: int,
        source: bytes,
        host: bytes,
        from_port: bytes,
        port: bytes,
        length: int,
    ) -> None:
        if host[0] == 0xFF or (len(host) == 4 and host[0] >= 224):  # to a group or to all
            return
        counts, weight = self._rates, self.weight
        low, high = int.from_bytes(port, "big"), int.from_bytes(from_port, "big")
        if QUIC_PORT in (low, high) or min(low, high) >= FIRST_HIGH_PORT:
            weight *= self.bulk_weight
        if counts.has_room(counts.udp, host):
            counts.udp[host] += weight
            counts.udp_bytes[host] += weight * length
        if source in counts.udp or counts.has_room(counts.udp_back, source):
            counts.udp_back[source] += weight
        if from_port in self._reflectors and counts.has_room(counts.unasked, host + from_port):
            counts.unasked[host + from_port] += weight
            counts.unasked_bytes[host + from_port] += weight * length
        if port in self._reflectors and counts.has_room(counts.unasked, source + port):
            counts.unasked[source + port] -= weight
        mac = memory[frame + _MAC_AT : frame + _MAC_AT + 6]
        if from_port in self._reflectors and host + from_port in counts.hot[rates.UNASKED]:
            counts.sent(rates.UNASKED, host + from_port, source, mac, from_port)
        if host in counts.hot[rates.UDP]:
            counts.sent(rates.UDP, host, source, mac, port)
            if not self._udp.knows(source):
                return
        if not self._udp.answers(host, source, from_port, ANSWERED) and (
            low <= high or (low < _RESERVED_PORTS and low != _BOOTPC)  # scanners like to come from port 53
        ):
            self._udp.tries(source, mac, host, port, self._second)

    def _take_icmp(
        self,
        memory: bytes | mmap.mmap,
        frame: int,
        source: bytes,
        host: bytes,
        asks: bool,
        answers: bool,
    ) -> None:
        counts = self._rates
        if asks and counts.has_room(counts.icmp, host):
            counts.icmp[host] += self.weight
            mac = memory[frame + _MAC_AT : frame + _MAC_AT + 6]
            if host in counts.hot[rates.ICMP]:
                counts.sent(rates.ICMP, host, source, mac, b"")
                if not self._icmp.knows(source):
                    return
            self._icmp.tries(source, mac, host, b"", self._second)
        elif answers:
            if source in counts.icmp:
                counts.icmp_back[source] += self.weight
            self._icmp.answers(host, source, b"", ANSWERED)

    def _unreachable(self, memory: bytes | mmap.mmap, at: int, room: int) -> None:
        """The beginning of the packet that was refused stands at ``at``."""
        version = memory[at] >> 4
        header = (memory[at] & 15) * 4 if version == 4 else 40
        if room < header + 4:
            return
        protocol, source, host = (_V4 if version == 4 else _V6).unpack_from(memory, at)
        _, port = _PORTS.unpack_from(memory, at + header)
        table = self._udp if protocol == _UDP else self._tcp if protocol == _TCP else None
        if table is not None:
            table.answers(source, host, port, REFUSED)
