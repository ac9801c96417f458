"""What this Windows machine is: maker, model, numbers, edition and build, processor, memory, addresses."""

from __future__ import annotations

import sys
from typing import Any

from agent.collectors.common.dmi import MAX_DISKS, decide_virtualization
from agent.collectors.registry import WINDOWS, Context, Output, StatusDocument, collector
from agent.windows.registry import Registry, registry
from agent.windows.smbios import parse_serials, parse_system
from agent.windows.system import read_disk_serials, read_system
from agent.windows.wmi import Wmi, wmi


def host_body(raw_smbios: bytes, of: Registry, asked: Wmi) -> dict[str, Any]:
    """The ``host`` document."""
    firmware = parse_system(raw_smbios)
    system = read_system(of, asked, firmware.pop("chassis_number", None))
    # Makers alone tell: beneath a Windows with Hyper-V or core isolation is a hypervisor too, on a machine of iron.
    virtualization = decide_virtualization(firmware["manufacturer"], firmware["model"], False, "")
    disks = read_disk_serials(asked)[:MAX_DISKS]
    return {
        **system,
        **firmware,
        **parse_serials(raw_smbios),
        "disk_serials": disks,
        "virtualization": virtualization,
    }


@collector(
    "host",
    interval_seconds=3600,
    platforms={WINDOWS},
    privileges="none",
    description="Maker, model, serial number, UUID, MachineGuid, edition and build, processor, memory, addresses, "
    "whether workstation or server",
)
def collect(ctx: Context) -> Output:
    raw = b""
    if sys.platform == "win32":
        from agent.windows.smbios import read_smbios

        raw = read_smbios()
    body = host_body(raw, registry(), wmi())
    return Output(documents=[StatusDocument(kind="host", observed_at=ctx.now(), body=body)])
