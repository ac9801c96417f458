"""What this Windows is: edition, build, name, role; processor, memory, addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.dmi import SERVER_TYPES, is_junk
from agent.collectors.common.files import clean_text
from agent.windows.registry import number, text
from agent.windows.wmi import WmiError, cim_time, texts
from agent.windows.wmi import number as cim_number
from agent.windows.wmi import text as cim_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.windows.registry import Registry, Value
    from agent.windows.wmi import Row, Wmi

CURRENT_VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
CRYPTOGRAPHY = r"SOFTWARE\Microsoft\Cryptography"
PRODUCT_OPTIONS = r"SYSTEM\CurrentControlSet\Control\ProductOptions"
TCPIP = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters"
COMPUTER_NAME = r"SYSTEM\CurrentControlSet\Control\ComputerName\ActiveComputerName"
PROCESSORS = r"HARDWARE\DESCRIPTION\System\CentralProcessor"
CIMV2 = r"root\cimv2"
#: Windows 11 still calls itself Windows 10 in the registry; its builds begin here.
_WINDOWS_11_BUILD = 22_000

_BUILD = re.compile(r"[0-9]{3,6}")


def parse_os(values: Mapping[str, Value] | None) -> dict[str, str]:
    """``name`` (with edition), ``version`` (22H2; a service pack before Windows 10), ``kernel`` (10.0.19045.4291), from
    the registry's *CurrentVersion*."""
    name = clean_text(text(values, "ProductName"))
    build = text(values, "CurrentBuildNumber") or text(values, "CurrentBuild")
    build = build if _BUILD.fullmatch(build) else ""
    if build and int(build) >= _WINDOWS_11_BUILD and name.startswith("Windows 10"):
        name = f"Windows 11{name.removeprefix('Windows 10')}"
    major, minor = number(values, "CurrentMajorVersionNumber"), number(values, "CurrentMinorVersionNumber")
    before_10 = clean_text(text(values, "CurrentVersion"), 16)
    kernel = [f"{major}.{minor}" if major is not None and minor is not None else before_10, build]
    if (revision := number(values, "UBR")) is not None:
        kernel.append(str(revision))
    version = text(values, "DisplayVersion") or text(values, "ReleaseId") or text(values, "CSDVersion")
    return {
        "name": name,
        "version": clean_text(version),
        "kernel": ".".join(part for part in kernel if part),
        "family": "windows",
    }


def decide_role(product_type: str, chassis: int | None) -> tuple[str, str]:
    """``(role, why)``: what was installed (*ProductType*: WinNT, LanmanNT, ServerNT), else what the case is."""
    if product_type.lower() in ("servernt", "lanmannt"):
        return "server", reasons.ROLE_BY_VARIANT()
    if product_type.lower() == "winnt":
        return "workstation", reasons.ROLE_BY_VARIANT()
    if chassis in SERVER_TYPES:
        return "server", reasons.ROLE_BY_CHASSIS()
    return "unknown", reasons.ROLE_UNKNOWN()


def read_names(registry: Registry) -> tuple[str, str]:
    """``(name, full name)`` of this machine."""
    network = registry.values("HKLM", TCPIP)
    netbios = text(registry.values("HKLM", COMPUTER_NAME), "ComputerName")
    name = clean_text(text(network, "Hostname") or text(network, "NV Hostname") or netbios)
    domain = clean_text(text(network, "Domain") or text(network, "NV Domain"))
    return name, f"{name}.{domain}" if name and domain else name


def machine_guid(registry: Registry) -> str:
    """*MachineGuid*, which set-up makes once; empty where there is none. Images that were not prepared share it."""
    return clean_text(text(registry.values("HKLM", CRYPTOGRAPHY), "MachineGuid"), 64).lower()


def read_system(registry: Registry, wmi: Wmi, chassis: int | None) -> dict[str, Any]:
    """The ``host`` document but for what the firmware says; ``chassis`` is its chassis type."""
    name, full = read_names(registry)
    product_type = text(registry.values("HKLM", PRODUCT_OPTIONS), "ProductType")
    role, why = decide_role(product_type, chassis)
    processors = registry.subkeys("HKLM", PROCESSORS)
    first = registry.values("HKLM", rf"{PROCESSORS}\{processors[0]}") if processors else None
    running = _first(_asked(wmi, "Win32_OperatingSystem", ("LastBootUpTime",)))
    computer = _first(_asked(wmi, "Win32_ComputerSystem", ("TotalPhysicalMemory",)))
    boot = cim_time(running.get("LastBootUpTime"))
    adapters = read_adapters(wmi)
    return {
        "name": name,
        "fqdn": full,
        "machine_id": machine_guid(registry),
        "role": role,
        "role_reason": why,
        "os": parse_os(registry.values("HKLM", CURRENT_VERSION)),
        # The clock was perhaps set since: to the minute it does not change from look to look.
        "boot_time": None if boot is None else boot // 60 * 60,
        "cpu": {"model": clean_text(text(first, "ProcessorNameString")), "count": len(processors)},
        "memory_total_bytes": cim_number(computer, "TotalPhysicalMemory"),
        "addresses": sorted({address for each in adapters for address in each["addresses"]}),
        "mac_addresses": sorted({each["mac"] for each in adapters if each["mac"] and each["physical"]}),
    }


ADAPTER_FIELDS = (
    *("Index", "InterfaceIndex", "NetConnectionID", "MACAddress"),
    *("NetConnectionStatus", "Speed", "PhysicalAdapter"),
)
SETTING_FIELDS = ("Index", "IPAddress", "DefaultIPGateway", "DNSServerSearchOrder", "IPConnectionMetric")
_CONNECTED = 2


def read_adapters(wmi: Wmi) -> list[dict[str, Any]]:
    """Network adapters that have a connection in *Network Connections*, by name.

    Each has ``name``, ``mac``, ``up``, ``speed_mbps``, ``addresses``, ``physical`` and ``interface_index``; and
    ``gateways``, ``servers`` (of names) and ``metric`` of its settings.
    """
    settings = _asked(wmi, "Win32_NetworkAdapterConfiguration", SETTING_FIELDS, "IPEnabled = TRUE")
    return parse_adapters(_asked(wmi, "Win32_NetworkAdapter", ADAPTER_FIELDS), settings)


def read_disk_serials(wmi: Wmi) -> list[str]:
    """Serial numbers of the disks that are built in, sorted."""
    rows = _asked(wmi, "Win32_DiskDrive", ("SerialNumber", "InterfaceType"))
    inside = (row for row in rows if cim_text(row, "InterfaceType").upper() not in ("USB", "1394"))
    found = {clean_text(cim_text(row, "SerialNumber")).strip() for row in inside}
    return sorted(each[:255] for each in found if not is_junk(each))


def parse_adapters(adapters: Iterable[Row], settings: Iterable[Row]) -> list[dict[str, Any]]:
    by_index = {cim_number(row, "Index"): row for row in settings}
    found = []
    for row in adapters:
        if not cim_text(row, "NetConnectionID"):  # what the system keeps for itself
            continue
        setting = by_index.get(cim_number(row, "Index"), {})
        speed = cim_number(row, "Speed")
        found.append(
            {
                "name": clean_text(cim_text(row, "NetConnectionID")),
                "mac": clean_text(cim_text(row, "MACAddress"), 32).lower(),
                "up": cim_number(row, "NetConnectionStatus") == _CONNECTED,
                # An adapter that is not connected says 2^63 - 1.
                "speed_mbps": speed // 1_000_000 if speed and speed < 10**15 else None,
                "addresses": sorted(_addresses(setting, "IPAddress")),
                "physical": row.get("PhysicalAdapter") is True,
                "interface_index": cim_number(row, "InterfaceIndex"),
                "gateways": _addresses(setting, "DefaultIPGateway"),
                "servers": _addresses(setting, "DNSServerSearchOrder"),
                "metric": cim_number(setting, "IPConnectionMetric"),
            }
        )
    return sorted(found, key=lambda each: str(each["name"]))


def _addresses(row: Row, name: str) -> list[str]:
    """Without the interface's number that Windows appends to a link-local address."""
    return [clean_text(each, 64).partition("%")[0] for each in texts(row, name)]


def _asked(wmi: Wmi, class_name: str, fields: Sequence[str], where: str = "") -> list[Row]:
    """Nothing where WMI is broken, as it is on some old machines: the registry's facts are worth telling alone."""
    try:
        return wmi.instances(CIMV2, class_name, fields, where)
    except WmiError:
        return []


def _first(rows: list[Row]) -> Row:
    return rows[0] if rows else {}
