"""Settings of the part ``wire``: ``/etc/vonggac-agent/probe/wire.toml``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

_Network = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,39}(/[0-9]{1,3})?$")]
_Floor = Annotated[int, Meta(ge=1, le=1_000_000)]


class CaptureSettings(Struct, frozen=True):
    """Where to look, and how much it may cost."""

    interfaces: Annotated[
        list[str],
        Meta(
            description="Interfaces to look at; none: that of the default route, without one all that are up"
        ),
    ] = []
    promiscuous: Annotated[
        bool, Meta(description="Take frames for other machines too (a span port's are)")
    ] = True
    ring_bytes: Annotated[
        int, Meta(ge=1 << 20, le=64 << 20, description="Memory for frames that wait, per interface")
    ] = 4 << 20
    bulk_one_in: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Of UDP that carries content (port 443, or both ports from 1024) one in so many is looked at",
        ),
    ] = 8
    busy_ratio: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Above this share of a core, or when frames are dropped, only one in 2, 4… frames is looked at",
        ),
    ] = 0.5


class TrafficSettings(Struct, frozen=True):
    """From where on something is told. Rules decide what it means; a floor above a rule's limit blinds the rule."""

    expected: Annotated[
        list[str],
        Meta(
            description="Addresses or networks that scan by order (a vulnerability scanner): told as expected"
        ),
    ] = []
    short_seconds: Annotated[float, Meta(ge=1, le=300, description="Window of fast scans")] = 10.0
    slow_seconds: Annotated[
        float, Meta(ge=10, le=86400, description="Window of slow scans: what was refused or not answered")
    ] = 3600.0
    ports: Annotated[_Floor, Meta(description="Different ports of one host that one source tried")] = 16
    hosts: Annotated[_Floor, Meta(description="Different hosts on which one source tried one port")] = 8
    slow_ports: Annotated[
        _Floor, Meta(description="The same in the slow window, without those that answered")
    ] = 16
    slow_hosts: Annotated[
        _Floor, Meta(description="The same in the slow window, without those that answered")
    ] = 16
    answered_ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Above this, fast tries are not told but for login_ports: most were answered",
        ),
    ] = 0.8
    syn_per_second: Annotated[
        _Floor, Meta(description="New TCP connections a second to one port of a host")
    ] = 100
    udp_per_second: Annotated[_Floor, Meta(description="UDP packets a second to one host")] = 500
    icmp_per_second: Annotated[_Floor, Meta(description="ICMP echo requests a second to one host")] = 50
    unasked_per_second: Annotated[
        _Floor,
        Meta(description="Answers a second from a service such as DNS or NTP that a host did not ask for"),
    ] = 50
    login_ports: Annotated[
        list[Annotated[int, Meta(ge=1, le=65535)]],
        Meta(description="TCP ports on which short connections in a row are counted as tries to sign in"),
    ] = field(default_factory=lambda: [21, 22, 23, 139, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985])
    login_seconds: Annotated[float, Meta(ge=1, le=3600, description="Window of tries to sign in")] = 60.0
    login_tries: Annotated[_Floor, Meta(description="Short connections of one source to one such port")] = 8


class WireSettings(Struct, frozen=True):
    """The whole file."""

    capture: CaptureSettings = CaptureSettings()
    traffic: TrafficSettings = TrafficSettings()
