"""What the part ``snmp`` is."""

from __future__ import annotations

from agent.probe.contract import Part
from agent.probe.snmp.settings import SnmpSettings

#: Under these names it tells of devices, and of traps.
DEVICES = "snmp_devices"
TRAPS = "snmp_traps"

PART = Part(
    name="snmp",
    settings=SnmpSettings,
    sources=(DEVICES, TRAPS),
    module="agent.probe.snmp.running",
    privileges=("CAP_NET_BIND_SERVICE: the port 162, only where traps are listened for",),
    description="Switches, routers, firewalls and power supplies over SNMP v2c and v3: state, interfaces, traffic, who "
    "is behind which port, neighbours by LLDP; traps and informs",
)
