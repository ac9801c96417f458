"""What the firmware says of the machine: DMI strings and the chassis type (SMBIOS specification, section 7.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.files import clean_text, read_text

if TYPE_CHECKING:
    from pathlib import Path

#: What makers leave in a field they were meant to fill in, without regard to case, spaces and punctuation.
_JUNK = re.compile(
    r"(?:(?:default(?: string)?|to be filled(?: by o ?e ?m)?|system (?:manufacturer|product name|serial number)"
    r"|(?:base ?board |chassis )?serial number|not (?:specified|available|applicable|set|present|settable|defined)"
    r"|none|null|n ?a|o ?e ?m|unknown|invalid|empty|asset tag|type1productconfigid|type2 board serial number"
    r"|standard|undefined|no (?:enclosure|asset tag|serial(?: number)?)|serial|sn|bad index|xxx+)"
    r"|(?P<digit>[0-9a-z])(?P=digit){3,}|0|0*123456789(?:0|abcdef)?|03000200 0400 0500 0006 000700080009)",
)

WORKSTATION_TYPES = frozenset({3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 24, 30, 31, 32, 35, 36})
SERVER_TYPES = frozenset({17, 22, 23, 25, 27, 28, 29})
_CHASSIS = [
    "other",
    "unknown",
    "desktop",
    "low_profile_desktop",
    "pizza_box",
    "mini_tower",
    "tower",
    "portable",
    "laptop",
    "notebook",
    "hand_held",
    "docking_station",
    "all_in_one",
    "sub_notebook",
    "space_saving",
    "lunch_box",
    "main_server",
    "expansion",
    "sub_chassis",
    "bus_expansion",
    "peripheral",
    "raid",
    "rack_mount",
    "sealed_case",
    "multi_system",
    "compact_pci",
    "advanced_tca",
    "blade",
    "blade_enclosure",
    "tablet",
    "convertible",
    "detachable",
    "iot_gateway",
    "embedded",
    "mini_pc",
    "stick_pc",
]

#: No machine of ours has more disks than that to be known by.
MAX_DISKS = 16

FIELDS = {"manufacturer": "sys_vendor", "model": "product_name", "serial_number": "product_serial"}


#: Hypervisors by the maker and model that they give their machines.
_MAKERS = (
    ("kvm", re.compile(r"qemu|kvm|red hat|proxmox|openstack|firecracker", re.IGNORECASE)),
    ("vmware", re.compile(r"vmware", re.IGNORECASE)),
    ("virtualbox", re.compile(r"innotek|virtualbox", re.IGNORECASE)),
    ("hyperv", re.compile(r"virtual machine", re.IGNORECASE)),
    ("xen", re.compile(r"\bxen\b", re.IGNORECASE)),
)


def is_junk(text: str) -> bool:
    """Whether a maker's placeholder stands where a value should (``To Be Filled By O.E.M.``, ``00000000``)."""
    plain = " ".join(re.sub(r"[^0-9a-z]+", " ", text.lower()).split())
    return not plain or _JUNK.fullmatch(plain) is not None


def chassis_name(number: int | None) -> str:
    """SMBIOS's word for a chassis type; the top bit only says that there is a lock. ``unknown`` for others."""
    if number is None or not 1 <= (number & 0x7F) <= len(_CHASSIS):
        return "unknown"
    return _CHASSIS[(number & 0x7F) - 1]


def decide_virtualization(maker: str, model: str, hypervisor: bool, container: str) -> str:
    """``container``, the hypervisor's name, ``unknown_hypervisor`` or ``none``."""
    if container:
        return "container"
    for name, pattern in _MAKERS:
        if pattern.search(f"{maker} {model}"):
            return name
    return "unknown_hypervisor" if hypervisor else "none"


def parse_chassis(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 4 else None


def _value(folder: Path, name: str) -> tuple[str, str]:
    """``(value, why it is empty)``."""
    path = folder / name
    if not path.exists():
        return "", reasons.DMI_NO_FIELD()
    text = read_text(path, 4096)
    if text is None:
        return "", reasons.DMI_ROOT_ONLY()
    cleaned = clean_text(text)
    if is_junk(cleaned):
        return "", reasons.DMI_PLACEHOLDER(value=repr(cleaned)) if cleaned else reasons.DMI_EMPTY()
    return cleaned, ""


def read_dmi(sys: Path) -> dict[str, Any]:
    """The DMI part of the ``host`` document: strings (empty with a reason), chassis type, ``dmi_state``."""
    folder = sys / "class/dmi/id"
    facts: dict[str, Any] = {**dict.fromkeys(FIELDS, ""), "product_uuid": "", "chassis_type": "unknown"}
    if not folder.is_dir():
        return {**facts, "dmi_state": "unknown", "reason": reasons.NO_DMI()}
    empty = {}
    for key, name in FIELDS.items():
        facts[key], why = _value(folder, name)
        if why:
            empty[key] = why
    facts["product_uuid"], why = _value(folder, "product_uuid")
    facts["product_uuid"] = facts["product_uuid"].lower()
    if why:
        empty["product_uuid"] = why
    number = parse_chassis(read_text(folder / "chassis_type", 16))
    facts["chassis_type"] = chassis_name(number)
    return {**facts, "dmi_state": "ok", "reason": "", "empty": empty, "chassis_number": number}


def read_serials(sys: Path) -> dict[str, Any]:
    """``board_serial``, ``chassis_serial`` and ``disk_serials`` of the ``host`` document; empty where there is none."""
    folder = sys / "class/dmi/id"
    return {
        "board_serial": _value(folder, "board_serial")[0],
        "chassis_serial": _value(folder, "chassis_serial")[0],
        "disk_serials": sorted(read_disk_serials(sys))[:MAX_DISKS],
    }


def read_disk_serials(sys: Path) -> set[str]:
    """Of disks that are built in, as far as the kernel shows them without asking the disk: NVMe, and SCSI's page 0x80
    (SPC-4, 7.7.15)."""
    found: set[str] = set()
    try:
        disks = sorted((sys / "block").iterdir())
    except OSError:
        return found
    for disk in disks:
        if (read_text(disk / "removable", 16) or "").strip() == "1":
            continue
        serial = clean_text(read_text(disk / "device/serial", 256) or read_text(disk / "serial", 256) or "")
        if not serial:
            try:
                page = (disk / "device/vpd_pg80").read_bytes()[:260]
            except OSError:
                page = b""
            if page[1:2] == b"\x80":
                serial = clean_text(page[4 : 4 + page[3]].decode("ascii", "replace").strip("\0 "))
        if not is_junk(serial):
            found.add(serial[:255])
    return found
