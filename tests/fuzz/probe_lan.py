"""Parsers of the part ``lan``: every frame of an Ethernet; and of what the collector reads of a neighbour table."""

from __future__ import annotations

from typing import Final

from agent.probe.lan import building, dhcpv6, frames, names, watch
from agent.probe.lan.settings import Watch
from collector.devices import cards, sightings
from tests.fuzz.parser import Parser, parser

_MAC: Final = "52:54:00:00:00:01"
_LLDP: Final = bytes.fromhex("0207045254000000010407054769302f37060200780a0473772d310000")
_SEEDS: Final = (
    building.arp_request(_MAC, "10.0.0.1", "10.0.0.2"),
    building.neighbour_solicitation(_MAC, "fe80::1", "fe80::2"),
    building.router_solicitation(_MAC, "fe80::1"),
    building.dhcp_discover(_MAC, 7),
    building.dhcpv6_request(_MAC, "fe80::1", building.SOLICIT, 7),
    bytes.fromhex("0180c200000e" + "525400000001" + "88cc") + _LLDP,
)
_TABLE: Final = {
    "entries": [
        {
            "ip": "10.0.0.9",
            "mac": _MAC,
            "interface": "eth0",
            "seen": ["arp"],
            "names": ["pc"],
            "vendor_class": "MSFT",
        }
    ]
}
_PORT: Final = {"mac": _MAC, "switch": "sw", "switch_id": "x", "port": "Gi0/1"}


def _watched(data: bytes) -> object:
    """A frame to the whole part, twice, and then all that it would tell."""
    made = watch.LanWatch(
        Watch(learn_seconds=0), {}, interface="eth0", mac=_MAC, send=len, gateways=["10.0.0.1"], now=1.0
    )
    for now in (1.0, 2.0, 60.0):
        made.take(data, now)
        made.run(now)
    return [event.fields for event in made.events], made.devices.entries("eth0"), made.switch, made.memory()


PARSERS: Final[tuple[Parser, ...]] = (
    parser("bytes", _watched, watch.LanWatch.take, frames.read_frame, longest=1_600, seeds=_SEEDS),
    parser(
        "bytes",
        lambda data: frames.read_dhcp(data, _MAC, ""),
        frames.read_dhcp,
        longest=1_600,
        seeds=(_SEEDS[3][42:],),
    ),
    parser(
        "bytes",
        lambda data: [dhcpv6.read_dhcpv6(data, _MAC, "fe80::1", port) for port in (546, 547)],
        dhcpv6.read_dhcpv6,
        longest=1_600,
        seeds=(_SEEDS[4][62:], b"\x02" + _SEEDS[4][63:]),
    ),
    parser(
        "bytes",
        names.read_lldp,
        names.read_lldp,
        longest=1_600,
        seeds=(_LLDP,),
        raises=(ValueError, IndexError),
    ),
    parser(
        "value",
        lambda body: (
            (cards.cards_of(body), sightings.neighbours_of(body), sightings.place_of(body))
            if isinstance(body, dict)
            else None
        ),
        cards.cards_of,
        sightings.neighbours_of,
        sightings.place_of,
        seeds=(_TABLE, _PORT),
    ),
)
