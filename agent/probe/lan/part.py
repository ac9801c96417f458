"""The part ``lan`` of the probe: discovery, and what only somebody on the same wire can notice."""

from __future__ import annotations

from agent.probe.contract import Part
from agent.probe.lan.settings import LanSettings

#: Under these names it tells of devices, and of addresses and servers that somebody claims to be.
DEVICES = "lan_devices"
WATCH = "lan_watch"

PART = Part(
    name="lan",
    settings=LanSettings,
    sources=(DEVICES, WATCH),
    module="agent.probe.lan.run",
    privileges=(
        "CAP_NET_RAW: one packet socket, which hears ARP, DHCP and ND of others and asks who is there",
    ),
    description="Devices on the LAN by ARP and neighbour discovery, their names, the switch port; ARP spoofing, "
    "duplicate addresses, DHCP and DHCPv6 servers and IPv6 routers that are not known",
    memory_bytes=96 << 20,
)
