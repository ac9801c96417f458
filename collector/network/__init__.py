"""Network devices: what probes tell of them over SNMP, and how they are joined."""
