"""What the part ``links`` is told: ``<folder>/links.toml``."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from msgspec import Meta, Struct

#: As which of the agency's connections a link counts.
Role = Literal["lan", "dedicated", "internet"]

#: The link to the default gateway, where ``[links] gateway`` asks for it.
GATEWAY = "gateway"

LinkName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing at the other end of a link. Raises :class:`ValueError` for what is no address or no role."""

    name: Annotated[
        LinkName, Meta(description="Short name, the same in every agency: `data-centre`, `core-vpn`.")
    ]
    address: Annotated[
        str,
        Meta(min_length=1, max_length=253, description="IP address, or a host name (then `role` is needed)."),
    ]
    port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port to connect to; 0: echo requests (ICMP) instead.")
    ] = 0
    role: Annotated[
        Literal["", "lan", "dedicated", "internet"],
        Meta(description="Which connection it proves. Empty: told by the address and `dedicated_networks`."),
    ] = ""
    device: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$",
            description="The router or switch at this end of its leased line, as it is called in this probe's"
            " `snmp.toml`. Empty: the use of the line is not looked at.",
        ),
    ] = ""
    interface: Annotated[
        str, Meta(max_length=64, description="That device's interface to the line, as the console shows it.")
    ] = ""
    capacity_bits: Annotated[
        int,
        Meta(
            ge=0, le=10**13, description="What the line can carry towards here, bits a second (by contract)."
        ),
    ] = 0
    capacity_sent_bits: Annotated[
        int, Meta(ge=0, le=10**13, description="What it can carry the other way; 0: the same.")
    ] = 0

    def __post_init__(self) -> None:
        if self.device and not (self.interface and self.capacity_bits >= 1_000):
            raise ValueError(
                f"link {self.name!r}: 'device' needs 'interface' and 'capacity_bits' of at least 1000"
            )
        if not self.device and (self.interface or self.capacity_bits or self.capacity_sent_bits):
            raise ValueError(f"link {self.name!r}: 'interface' and capacities need 'device'")
        if self.name == GATEWAY:
            raise ValueError("the name 'gateway' is the default gateway's own")
        try:
            ip_address(self.address)
        except ValueError:
            if not self.role:
                raise ValueError(
                    f"link {self.name!r}: {self.address!r} is no IP address, so say which role it has"
                ) from None


class Links(Struct, frozen=True, forbid_unknown_fields=True):
    """Raises :class:`ValueError` for a network that is none, and for two targets of one name."""

    gateway: Annotated[
        bool, Meta(description="Whether the default gateway is a link of its own: the LAN's.")
    ] = True
    interval_seconds: Annotated[float, Meta(ge=2, le=3600, description="How often each link is tried.")] = (
        30.0
    )
    echo_count: Annotated[int, Meta(ge=1, le=20, description="Echo requests, or connections, a round.")] = 4
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=10, description="How long each of them may take before it counts as lost.")
    ] = 1.0
    down_after: Annotated[
        int, Meta(ge=1, le=20, description="Rounds without any answer until the link counts as down.")
    ] = 3
    up_after: Annotated[
        int, Meta(ge=1, le=20, description="Rounds with an answer until it counts as up again.")
    ] = 2
    degraded_loss_ratio: Annotated[
        float, Meta(gt=0, le=1, description="Lost over the last ten rounds, from which the link is degraded.")
    ] = 0.1
    degraded_rtt_seconds: Annotated[
        float, Meta(gt=0, le=10, description="Middle round trip over the last ten rounds, likewise.")
    ] = 0.3
    dedicated_networks: Annotated[
        list[Annotated[str, Meta(max_length=50)]],
        Meta(
            max_length=100,
            description="Networks (CIDR) that are reached over the dedicated network (TSLCD). Any other address beyond"
            " the LAN is reached over the Internet.",
        ),
    ] = []
    lan_networks: Annotated[
        list[Annotated[str, Meta(max_length=50)]],
        Meta(max_length=100, description="Networks (CIDR) of the LAN itself."),
    ] = []
    target: Annotated[
        list[Target], Meta(max_length=50, description="`[[links.target]]`: what is tried beside the gateway.")
    ] = []

    def __post_init__(self) -> None:
        for written in (*self.dedicated_networks, *self.lan_networks):
            try:
                ip_network(written)
            except ValueError as error:
                raise ValueError(f"not a network: {error}") from error
        names = [target.name for target in self.target]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two links are called {name!r}")

    def role_of(self, target: Target) -> Role:
        if target.role:
            return target.role
        address = ip_address(target.address)

        def within(networks: list[str]) -> bool:
            found = (ip_network(each) for each in networks)
            return any(address.version == each.version and address in each for each in found)

        if within(self.lan_networks):
            return "lan"
        return "dedicated" if within(self.dedicated_networks) else "internet"


class LinksSettings(Struct, frozen=True):
    links: Links = Links()
