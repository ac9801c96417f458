"""What a Windows endpoint says of itself when it enrols."""

from __future__ import annotations

import sys

from agent.messages import HostFacts
from agent.windows.registry import registry
from agent.windows.smbios import parse_system
from agent.windows.system import machine_guid, read_adapters, read_names
from agent.windows.wmi import wmi

MAX_MACS = 64


def host_facts() -> HostFacts:
    """Facts of this machine; empty where they cannot be had."""
    raw = b""
    if sys.platform == "win32":
        from agent.windows.smbios import read_smbios

        raw = read_smbios()
    here, firmware = registry(), parse_system(raw)
    macs = {each["mac"] for each in read_adapters(wmi()) if each["mac"] and each["physical"]}
    return HostFacts(
        hostname=read_names(here)[0],
        machine_id=machine_guid(here),
        product_uuid=firmware["product_uuid"],
        serial_number=firmware["serial_number"],
        mac_addresses=sorted(macs)[:MAX_MACS],
    )
