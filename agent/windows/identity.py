"""What a Windows endpoint says of itself when it enrols."""

from __future__ import annotations

import sys

from agent.collectors.common.dmi import MAX_DISKS
from agent.messages import HostFacts
from agent.windows.registry import registry
from agent.windows.smbios import parse_serials, parse_system
from agent.windows.system import machine_guid, read_adapters, read_disk_serials, read_names
from agent.windows.wmi import wmi

MAX_MACS = 64


def host_facts() -> HostFacts:
    """Facts of this machine; empty where they cannot be had."""
    raw = b""
    if sys.platform == "win32":
        from agent.windows.smbios import read_smbios

        raw = read_smbios()
    here, firmware, serials = registry(), parse_system(raw), parse_serials(raw)
    asked = wmi()
    macs = {each["mac"] for each in read_adapters(asked) if each["mac"] and each["physical"]}
    return HostFacts(
        hostname=read_names(here)[0],
        machine_id=machine_guid(here),
        product_uuid=firmware["product_uuid"],
        serial_number=firmware["serial_number"],
        mac_addresses=sorted(macs)[:MAX_MACS],
        board_serial=serials["board_serial"],
        chassis_serial=serials["chassis_serial"],
        disk_serials=read_disk_serials(asked)[:MAX_DISKS],
    )
