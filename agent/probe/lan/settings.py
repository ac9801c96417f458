"""Settings of the part ``lan``: ``/etc/vonggac-agent/probe/lan.toml``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Texts = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=64)]


class Scan(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked, and how often."""

    interface: Annotated[str, Meta(max_length=15, description="Empty: the one of the default route")] = ""
    networks: Annotated[
        Texts,
        Meta(
            description="IPv4 networks to scan. Empty: the interface's own, of at most 1,024 addresses (/22)"
        ),
    ] = []
    exclude: Annotated[Texts, Meta(description="Addresses and networks that are never asked")] = []
    interval_seconds: Annotated[int, Meta(ge=30, le=86_400, description="From one scan to the next")] = 300
    packets_per_second: Annotated[int, Meta(ge=1, le=100, description="The most that is sent")] = 90
    ipv6: Annotated[bool, Meta(description="Ask IPv6 neighbours and routers too")] = True


class Watch(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may be what."""

    gateways: Annotated[Texts, Meta(description="Addresses of gateways beside the default route's")] = []
    dhcp_servers: Annotated[
        Texts,
        Meta(
            description="Addresses or MACs of the DHCP servers. An address stands for the first card that has it: "
            "name the MACs where there are several. Empty: those of the first learn_seconds"
        ),
    ] = []
    dhcpv6_servers: Annotated[
        Texts,
        Meta(
            description="Link-local addresses or MACs of the DHCPv6 servers (or of the relays in their place), as "
            "dhcp_servers. Empty: those of the first learn_seconds"
        ),
    ] = []
    routers: Annotated[
        Texts,
        Meta(
            description="Addresses or MACs of the IPv6 routers. An address stands for the first card that has it: "
            "name the MACs where there are several. Empty: those of the first learn_seconds"
        ),
    ] = []
    learn_seconds: Annotated[
        int,
        Meta(
            ge=0, le=30 * 86_400, description="For so long after the first start what is seen counts as known"
        ),
    ] = 86_400
    dhcp_probe_seconds: Annotated[
        int,
        Meta(
            ge=0, le=86_400, description="How often DHCP and DHCPv6 servers are asked for an offer; 0: never"
        ),
    ] = 600


class LanSettings(Struct, frozen=True, forbid_unknown_fields=True):
    scan: Scan = Scan()
    watch: Watch = Watch()
