"""The words for what a probe sees of its LAN: claims to addresses, DHCP servers, IPv6 routers, the switch port."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

_CLAIM: Final = {
    "ip": N_("Address"),
    "mac": N_("MAC that has it now"),
    "previous_mac": N_("MAC that had it before"),
    "gateway": N_("A gateway's address"),
    "virtual_router": N_("Shared by routers (VRRP, HSRP)"),
    "previous_answers": N_("The one before still answers"),
    "answering": N_("MACs that answered"),
    "answering_count": N_("How many MACs answered"),
    "unasked_count": N_("Announced without being asked"),
    "window_seconds": N_("Counted over"),
    "addresses": N_("Addresses claimed"),
    "addresses_count": N_("How many addresses"),
    "gateway_card": N_("It is the gateway"),
}
_SPOKE: Final = {
    "known": N_("Known"),
    "baseline": N_("Learnt in the beginning"),
    "others_count": N_("Others of its kind"),
    "changed": N_("What changed"),
    "dns": N_("Name servers it gives"),
}
_OFFERED: Final = {
    **_SPOKE,
    "server.ip": N_("DHCP server"),
    "server.mac": N_("DHCP server's MAC"),
    "server.duid": N_("DHCPv6 server's identifier"),
    "message": N_("Message"),
    "routers": N_("Gateway it gives"),
    "domain": N_("Domain it gives"),
    "offered_ip": N_("Address it offers"),
    "relay_ip": N_("Relayed by"),
    "lease_seconds": N_("Lease"),
    "client_mac": N_("Offered to"),
    "asked": N_("The probe had asked"),
}
_ADVERTISED: Final = {
    **_CLAIM,
    **_SPOKE,
    "lifetime_seconds": N_("A gateway for"),
    "managed": N_("Addresses by DHCPv6"),
    "other": N_("Settings by DHCPv6"),
    "preference": N_("Preference"),
    "prefixes": N_("Prefixes"),
}

#: Fields of the events (``previous.`` is said of its own).
PROBE_LAN_FIELDS: Final = {
    "probe.part": N_("Part of the probe"),
    "probe.interface": N_("The probe's interface"),
    "source.ip": N_("Source address"),
    "source.mac": N_("Source MAC"),
    "network.type": N_("Version of IP"),
    "capture.left_out_count": N_("Events left out"),
    "capture.left_out": N_("Kinds of events left out"),
    "capture.unlisted_count": N_("Network cards left out"),
    "capture.unchecked_count": N_("Claims not checked"),
    **{f"arp.{name}": label for name, label in _CLAIM.items()},
    **{f"dhcp.{name}": label for name, label in _OFFERED.items()},
    **{f"dhcp.previous.{name}": label for name, label in _OFFERED.items()},
    **{f"neighbor_discovery.{name}": label for name, label in _ADVERTISED.items()},
    **{f"neighbor_discovery.previous.{name}": label for name, label in _ADVERTISED.items()},
    "device.name": N_("Name"),
    "device.vendor": N_("Maker of the network card"),
    "device.kind": N_("Kind of device"),
    "device.approved": N_("Approved"),
    "device.approval": N_("Approval"),
    "device.last_seen": N_("Last seen"),
    "device.switch": N_("Switch"),
    "device.port": N_("Port"),
    "switch_port.interface": N_("Interface"),
    "switch_port.mac": N_("MAC of the interface"),
    "switch_port.protocol": N_("Told by"),
    "switch_port.switch": N_("Switch"),
    "switch_port.switch_id": N_("Switch's identifier"),
    "switch_port.switch_mac": N_("Switch's MAC"),
    "switch_port.port": N_("Port"),
    "switch_port.description": N_("Port's description"),
    "switch_port.system": N_("Switch's system"),
    "switch_port.vlan": N_("VLAN"),
    "switch_port.management_ip": N_("Switch's address"),
}

PROBE_LAN_ACTIONS: Final = {
    "address_moved": N_("Another MAC claims an address"),
    "addresses_claimed": N_("Many addresses claimed"),
    "server_answered": N_("A DHCP server answered"),
    "limit_reached": N_("More than can be told"),
    "router_advertised": N_("An IPv6 router advertised itself"),
    "device_unauthorised": N_("Unauthorised device"),
    "devices_many": N_("Many new devices"),
    "devices_unauthorised_many": N_("Many unauthorised devices"),
    "devices_full": N_("No room for more devices"),
    "device_replugged": N_("At another switch port"),
}

PROBE_LAN_SOURCES: Final = {
    "probe/arp": N_("Probe: ARP"),
    "probe/dhcp": N_("Probe: DHCP"),
    "probe/neighbor_discovery": N_("Probe: IPv6 neighbours"),
    "vonggac/switch_port": N_("Switch port"),
}

APPROVALS: Final = {"none": N_("Nobody approved it"), "over": N_("Its approval is over")}

KINDS: Final = {
    "": N_("Not said"),
    "computer": N_("Computer"),
    "server": N_("Server"),
    "network": N_("Network equipment"),
    "printer": N_("Printer, scanner"),
    "phone": N_("Telephone"),
    "camera": N_("Camera"),
    "appliance": N_("Other device without an agent"),
    "gateway": N_("Gateway"),
}
