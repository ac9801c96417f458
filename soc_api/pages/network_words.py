"""The words for network devices: what probes tell of them over SNMP, traps, the map."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

KINDS: Final = {
    "switch": N_("Switch"),
    "router": N_("Router"),
    "firewall": N_("Firewall"),
    "ups": N_("Power supply (UPS)"),
    "server": N_("Server"),
    "wireless": N_("Wireless access point"),
    "other": N_("Other network device"),
}
EVIDENCE: Final = {
    "lldp_both": N_("LLDP, said by both ends"),
    "lldp_one": N_("LLDP, said by one end"),
    "forwarding": N_("Forwarding tables of both ends"),
}
STATUSES: Final = {
    "up": N_("Up"),
    "down": N_("Down"),
    "testing": N_("Being tested"),
    "dormant": N_("Waiting"),
    "not_present": N_("Not fitted"),
    "unknown": N_("Unknown"),
}
DUPLEX: Final = {"full": N_("Full duplex"), "half": N_("Half duplex")}
UPS: Final = {
    "normal": N_("Normal"),
    "battery": N_("On battery"),
    "bypass": N_("Bypass"),
    "booster": N_("Raises the voltage"),
    "reducer": N_("Lowers the voltage"),
    "low": N_("Low"),
    "depleted": N_("Empty"),
    "none": N_("None"),
    "other": N_("Other"),
    "unknown": N_("Unknown"),
}

_INTERFACE: Final = {
    "name": N_("Interface"),
    "alias": N_("Description"),
    "index": N_("Number"),
    "admin": N_("Switched on"),
    "status": N_("State"),
    "speed_bits": N_("Speed"),
    "duplex": N_("Duplex"),
    "mac": N_("MAC"),
    "uplink": N_("Leads to a network device"),
    "uplink_new": N_("Not known as such before"),
    "many_errors": N_("Many faulty frames"),
    "changed_at": N_("Last change"),
}
_NEIGHBOUR: Final = {
    "name": N_("Neighbour"),
    "interface": N_("Interface"),
    "chassis": N_("Neighbour's chassis"),
    "port": N_("Neighbour's port"),
    "system_name": N_("Neighbour's name"),
    "description": N_("Description"),
    "network": N_("It is a network device"),
    "new": N_("Not known at this port"),
}
_DEVICE: Final = {
    "name": N_("Network device"),
    "address": N_("Address"),
    "reachable": N_("Answers"),
    "reason": N_("Reason"),
    "started_at": N_("Started"),
    "restart_count": N_("Restarts"),
    "system_name": N_("Its own name"),
    "description": N_("Description"),
    "location": N_("Location"),
    "object_id": N_("Kind by its maker (sysObjectID)"),
    "vendor": N_("Maker"),
    "product": N_("Product"),
    "model": N_("Model"),
    "serial_number": N_("Serial number"),
    "firmware": N_("Firmware"),
    "kind": N_("Kind"),
    "chassis": N_("Chassis (LLDP)"),
    "macs": N_("MACs"),
    "cluster_mode": N_("Cluster mode"),
    "cluster_state": N_("Cluster state"),
    "antivirus_version": N_("Antivirus signatures"),
    "intrusion_prevention_version": N_("Intrusion prevention signatures"),
    "ups.battery": N_("Battery"),
    "ups.output": N_("Output"),
    "untold_count": N_("Further changes"),
    **{f"interface.{name}": label for name, label in _INTERFACE.items()},
    **{f"neighbour.{name}": label for name, label in _NEIGHBOUR.items()},
}
_ADDRESSES: Final = {
    "name": N_("Network device"),
    "address": N_("Address"),
    "count": N_("MACs behind its ports"),
    "untold_count": N_("Further changes"),
    "entry.name": N_("MAC"),
    "entry.interface": N_("Interface"),
    "entry.vlan": N_("VLAN"),
    "entry.uplink": N_("Leads to a network device"),
    "entry.new": N_("Not known at this port"),
}
_TRAP: Final = {
    "name": N_("Notification"),
    "oid": N_("Notification's OID"),
    "inform": N_("Acknowledged (inform)"),
    "level": N_("Security level"),
    "user": N_("SNMP user"),
    "interface": N_("Interface"),
    "uptime_seconds": N_("Running for"),
    "values": N_("Values"),
}
NETWORK_FIELDS: Final = {
    **{f"network_device.{name}": label for name, label in _DEVICE.items()},
    **{f"network_addresses.{name}": label for name, label in _ADDRESSES.items()},
    **{f"snmp_trap.{name}": label for name, label in _TRAP.items()},
}
NETWORK_SOURCES: Final = {
    "vonggac/network_device": N_("Network device"),
    "vonggac/network_addresses": N_("Addresses behind ports"),
    "probe/snmp_trap": N_("SNMP trap"),
}
#: What of a metric is drawn: name, label, unit, factor.
CHARTS: Final = {
    "network.cpu_used_ratio": (N_("Processor"), "%", 100.0),
    "network.memory_used_ratio": (N_("Memory"), "%", 100.0),
    "network.temperature_celsius": (N_("Temperature"), "°C", 1.0),
    "ups.charge_ratio": (N_("Battery charge"), "%", 100.0),
    "ups.load_ratio": (N_("Load"), "%", 100.0),
}
INTERFACE_CHARTS: Final = {
    "network.received_bytes": (N_("Received"), "Mbit/s", 8e-6),
    "network.sent_bytes": (N_("Sent"), "Mbit/s", 8e-6),
}
FAULT_CHARTS: Final = {
    "network.error_count": (N_("Faulty frames"), "", 1.0),
    "network.discard_count": (N_("Discarded frames"), "", 1.0),
}
