"""Settings of the part ``syslog``: ``/etc/vonggac-agent/probe/syslog.toml``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

#: Who may send unless others are stated: addresses that nobody has on the Internet (RFC 1918, RFC 4193, loopback).
PRIVATE_NETWORKS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
Port = Annotated[int, Meta(ge=1, le=65535)]


class Udp(Struct, frozen=True):
    enabled: Annotated[bool, Meta(description="Listen for datagrams.")] = True
    address: Annotated[str, Meta(description="The own address to listen at; `::` is every one.")] = "0.0.0.0"  # noqa: S104 - devices of the LAN send here
    port: Annotated[Port, Meta(description="The port.")] = 514
    buffer_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=1 << 28,
            description="What the kernel may hold while nobody reads; more is lost, and counted.",
        ),
    ] = 8 << 20


class Tcp(Struct, frozen=True):
    enabled: Annotated[bool, Meta(description="Listen for connections.")] = True
    address: Annotated[str, Meta(description="The own address to listen at; `::` is every one.")] = "0.0.0.0"  # noqa: S104 - devices of the LAN send here
    port: Annotated[Port, Meta(description="The port.")] = 514


class Tls(Struct, frozen=True):
    """Listening needs both files."""

    enabled: Annotated[bool, Meta(description="Listen for connections over TLS (RFC 5425).")] = False
    address: Annotated[str, Meta(description="The own address to listen at; `::` is every one.")] = "0.0.0.0"  # noqa: S104 - devices of the LAN send here
    port: Annotated[Port, Meta(description="The port.")] = 6514
    certificate_file: Annotated[str, Meta(description="The own certificate with its chain, PEM.")] = ""
    key_file: Annotated[str, Meta(description="Its key, PEM; nobody else may read it.")] = ""
    client_ca_file: Annotated[
        str,
        Meta(description="Authorities whose certificates senders must show, PEM; empty: none is asked for."),
    ] = ""

    def __post_init__(self) -> None:
        if self.enabled and not (self.certificate_file and self.key_file):
            raise ValueError("[tls] enabled needs certificate_file and key_file")


class Senders(Struct, frozen=True):
    networks: Annotated[tuple[str, ...], Meta(description="Networks (CIDR) from which is listened to.")] = (
        PRIVATE_NETWORKS
    )
    connections: Annotated[int, Meta(ge=1, le=10_000, description="Open connections, of all.")] = 512
    connections_each: Annotated[
        int, Meta(ge=1, le=10_000, description="Open connections of one address.")
    ] = 32
    datagrams_per_second: Annotated[
        int, Meta(ge=1, description="Datagrams of one address; more are dropped, and counted.")
    ] = 5_000
    idle_seconds: Annotated[
        float, Meta(ge=1, description="A connection that says nothing for so long is closed.")
    ] = 3_600.0

    def __post_init__(self) -> None:
        from ipaddress import ip_network

        for each in self.networks:
            try:
                ip_network(each)
            except ValueError as error:
                raise ValueError(f"networks: {error}") from error


class Messages(Struct, frozen=True):
    bytes: Annotated[
        int, Meta(ge=480, le=1 << 18, description="The longest message; what is longer is cut, and counted.")
    ] = 16_384
    zone: Annotated[
        str,
        Meta(description="The zone of times that name none, as `Asia/Ho_Chi_Minh`; empty: this machine's."),
    ] = ""
    report_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="How often is told who sent how much.")
    ] = 60.0

    def __post_init__(self) -> None:
        if not self.zone:
            return
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"zone: there is no {self.zone!r} here") from error


class SyslogSettings(Struct, frozen=True):
    udp: Udp = Udp()
    tcp: Tcp = Tcp()
    tls: Tls = Tls()
    senders: Senders = Senders()
    messages: Messages = Messages()
