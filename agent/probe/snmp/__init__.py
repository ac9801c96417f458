"""The probe's part ``snmp``: switches, routers, firewalls and power supplies over SNMP, and their traps."""
