"""The columns and single values that every device is asked for, by the MIBs' own names."""

from __future__ import annotations

from typing import Final

# SNMPv2-MIB (RFC 3418), HOST-RESOURCES-MIB (RFC 2790)
SYS_DESCR: Final = "1.3.6.1.2.1.1.1.0"
SYS_OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
SYS_UP_TIME: Final = "1.3.6.1.2.1.1.3.0"
SYS_NAME: Final = "1.3.6.1.2.1.1.5.0"
SYS_LOCATION: Final = "1.3.6.1.2.1.1.6.0"
SYS_SERVICES: Final = "1.3.6.1.2.1.1.7.0"
HR_SYSTEM_UPTIME: Final = "1.3.6.1.2.1.25.1.1.0"

# IF-MIB (RFC 2863)
IF_DESCR: Final = "1.3.6.1.2.1.2.2.1.2"
IF_TYPE: Final = "1.3.6.1.2.1.2.2.1.3"
IF_SPEED: Final = "1.3.6.1.2.1.2.2.1.5"
IF_PHYS_ADDRESS: Final = "1.3.6.1.2.1.2.2.1.6"
IF_ADMIN_STATUS: Final = "1.3.6.1.2.1.2.2.1.7"
IF_OPER_STATUS: Final = "1.3.6.1.2.1.2.2.1.8"
IF_LAST_CHANGE: Final = "1.3.6.1.2.1.2.2.1.9"
IF_IN_OCTETS: Final = "1.3.6.1.2.1.2.2.1.10"
IF_IN_UCAST: Final = "1.3.6.1.2.1.2.2.1.11"
IF_IN_DISCARDS: Final = "1.3.6.1.2.1.2.2.1.13"
IF_IN_ERRORS: Final = "1.3.6.1.2.1.2.2.1.14"
IF_OUT_OCTETS: Final = "1.3.6.1.2.1.2.2.1.16"
IF_OUT_UCAST: Final = "1.3.6.1.2.1.2.2.1.17"
IF_OUT_DISCARDS: Final = "1.3.6.1.2.1.2.2.1.19"
IF_OUT_ERRORS: Final = "1.3.6.1.2.1.2.2.1.20"
IF_NAME: Final = "1.3.6.1.2.1.31.1.1.1.1"
IF_HC_IN_OCTETS: Final = "1.3.6.1.2.1.31.1.1.1.6"
IF_HC_IN_UCAST: Final = "1.3.6.1.2.1.31.1.1.1.7"
IF_HC_OUT_OCTETS: Final = "1.3.6.1.2.1.31.1.1.1.10"
IF_HC_OUT_UCAST: Final = "1.3.6.1.2.1.31.1.1.1.11"
IF_HIGH_SPEED: Final = "1.3.6.1.2.1.31.1.1.1.15"
IF_ALIAS: Final = "1.3.6.1.2.1.31.1.1.1.18"
IF_DISCONTINUITY: Final = "1.3.6.1.2.1.31.1.1.1.19"
# EtherLike-MIB (RFC 3635)
DUPLEX: Final = "1.3.6.1.2.1.10.7.2.1.19"

# ENTITY-MIB (RFC 6933), ENTITY-SENSOR-MIB (RFC 3433)
ENT_CLASS: Final = "1.3.6.1.2.1.47.1.1.1.1.5"
ENT_FIRMWARE: Final = "1.3.6.1.2.1.47.1.1.1.1.9"
ENT_SOFTWARE: Final = "1.3.6.1.2.1.47.1.1.1.1.10"
ENT_SERIAL: Final = "1.3.6.1.2.1.47.1.1.1.1.11"
ENT_MAKER: Final = "1.3.6.1.2.1.47.1.1.1.1.12"
ENT_MODEL: Final = "1.3.6.1.2.1.47.1.1.1.1.13"
SENSOR_TYPE: Final = "1.3.6.1.2.1.99.1.1.1.1"
SENSOR_SCALE: Final = "1.3.6.1.2.1.99.1.1.1.2"
SENSOR_PRECISION: Final = "1.3.6.1.2.1.99.1.1.1.3"
SENSOR_VALUE: Final = "1.3.6.1.2.1.99.1.1.1.4"

# BRIDGE-MIB (RFC 4188), Q-BRIDGE-MIB (RFC 4363)
BASE_PORT_IF_INDEX: Final = "1.3.6.1.2.1.17.1.4.1.2"
FDB_PORT: Final = "1.3.6.1.2.1.17.4.3.1.2"
FDB_STATUS: Final = "1.3.6.1.2.1.17.4.3.1.3"
Q_FDB_PORT: Final = "1.3.6.1.2.1.17.7.1.2.2.1.2"
Q_FDB_STATUS: Final = "1.3.6.1.2.1.17.7.1.2.2.1.3"
Q_VLAN_FDB: Final = "1.3.6.1.2.1.17.7.1.4.2.1.3"

# LLDP-MIB (IEEE 802.1AB)
LLDP_CHASSIS_SUBTYPE: Final = "1.0.8802.1.1.2.1.3.1.0"
LLDP_CHASSIS: Final = "1.0.8802.1.1.2.1.3.2.0"
LLDP_LOCAL_PORT_SUBTYPE: Final = "1.0.8802.1.1.2.1.3.7.1.2"
LLDP_LOCAL_PORT: Final = "1.0.8802.1.1.2.1.3.7.1.3"
LLDP_LOCAL_PORT_DESCR: Final = "1.0.8802.1.1.2.1.3.7.1.4"
LLDP_CHASSIS_SUBTYPE_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.4"
LLDP_CHASSIS_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.5"
LLDP_PORT_SUBTYPE_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.6"
LLDP_PORT_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.7"
LLDP_PORT_DESCR_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.8"
LLDP_NAME_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.9"
LLDP_DESCR_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.10"
LLDP_ENABLED_REMOTE: Final = "1.0.8802.1.1.2.1.4.1.1.12"

# IP-MIB (RFC 4293)
ARP: Final = "1.3.6.1.2.1.4.22.1.2"
NEIGHBOURS: Final = "1.3.6.1.2.1.4.35.1.4"
