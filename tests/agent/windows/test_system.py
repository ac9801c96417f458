"""What this Windows is."""

from __future__ import annotations

import pytest

from agent.collectors.windows_host import host_body
from agent.windows.system import decide_role, machine_guid, parse_adapters, parse_os, read_system
from agent.windows.wmi import Row, WmiError, cim_time
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import WORKSTATION, FakeWmi
from tests.agent.windows.test_smbios import CHASSIS, system, table

SETTING: Row = {
    "Index": 4,
    "IPAddress": ["192.168.10.27", "fe80::1c2d:3e4f:5a6b:7c8d%4"],
    "DefaultIPGateway": ["192.168.10.1"],
    "DNSServerSearchOrder": ["192.168.10.1", "203.113.131.1"],
    "IPConnectionMetric": 25,
}
ETHERNET: Row = {
    "Index": 4,
    "NetConnectionID": "Ethernet",
    "MACAddress": "D8:BB:C1:2A:3B:4C",
    "NetConnectionStatus": 2,
    "Speed": 1_000_000_000,
    "PhysicalAdapter": True,
}
UNPLUGGED: Row = {
    "Index": 7,
    "NetConnectionID": "Wi-Fi",
    "MACAddress": "D8:BB:C1:2A:3B:4D",
    "NetConnectionStatus": 7,
    "Speed": 9_223_372_036_854_775_807,
    "PhysicalAdapter": True,
}
MINIPORT: Row = {"Index": 1, "NetConnectionID": None, "MACAddress": None}
WMI = FakeWmi(
    Win32_OperatingSystem=[{"LastBootUpTime": "20260722081512.500000+420"}],
    Win32_ComputerSystem=[{"TotalPhysicalMemory": 8_446_930_944}],
    Win32_NetworkAdapter=[ETHERNET, UNPLUGGED, MINIPORT],
    Win32_NetworkAdapterConfiguration=[SETTING],
)


def test_the_document_has_what_linux_tells_and_the_machine_id() -> None:
    body = host_body(table(system(), CHASSIS), RegFile(WORKSTATION), WMI)
    assert body == {
        "name": "ubnd-pc07",
        "fqdn": "ubnd-pc07.xa.tinh.gov.vn",
        "machine_id": "6f1a2b3c-0000-4444-8888-0123456789ab",
        "role": "workstation",
        "role_reason": "by the system's variant",
        "os": {"name": "Windows 11 Pro", "version": "23H2", "kernel": "10.0.22631.3439", "family": "windows"},
        "boot_time": 1784682900.0,
        "cpu": {"model": "Intel(R) Core(TM) i3-10100 CPU @ 3.60GHz", "count": 2},
        "memory_total_bytes": 8_446_930_944,
        "addresses": ["192.168.10.27", "fe80::1c2d:3e4f:5a6b:7c8d"],
        "mac_addresses": ["d8:bb:c1:2a:3b:4c", "d8:bb:c1:2a:3b:4d"],
        "manufacturer": "Dell Inc.",
        "model": "OptiPlex 3080",
        "serial_number": "7B5W2X2",
        "board_serial": "",
        "chassis_serial": "7B5W2X2",
        "disk_serials": [],
        "product_uuid": "4c4c4544-0042-3510-8057-b7c04f4a3532",
        "chassis_type": "desktop",
        "dmi_state": "ok",
        "reason": "",
        "empty": {},
        "virtualization": "none",
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {
                "ProductName": "Windows 7 Professional",
                "CurrentVersion": "6.1",
                "CurrentBuildNumber": "7601",
                "CSDVersion": "Service Pack 1",
            },
            ("Windows 7 Professional", "Service Pack 1", "6.1.7601"),
        ),
        (
            {
                "ProductName": "Windows Server 2019 Standard",
                "ReleaseId": "1809",
                "CurrentBuildNumber": "17763",
                "CurrentMajorVersionNumber": 10,
                "CurrentMinorVersionNumber": 0,
                "UBR": 5576,
            },
            ("Windows Server 2019 Standard", "1809", "10.0.17763.5576"),
        ),
        (
            {"ProductName": "Windows 10 Pro", "CurrentBuildNumber": "19045", "DisplayVersion": "22H2"},
            ("Windows 10 Pro", "22H2", "19045"),
        ),
        ({"CurrentBuildNumber": "<script>"}, ("", "", "")),
        (None, ("", "", "")),
    ],
)
def test_edition_and_build_of_every_windows(
    values: dict[str, str | int | list[str] | bytes] | None, expected: tuple[str, str, str]
) -> None:
    found = parse_os(values)
    assert (found["name"], found["version"], found["kernel"]) == expected


@pytest.mark.parametrize(
    ("product_type", "chassis", "expected"),
    [
        ("WinNT", 23, "workstation"),
        ("ServerNT", 3, "server"),
        ("LanmanNT", None, "server"),
        ("", 23, "server"),
        ("", 3, "unknown"),
    ],
)
def test_what_was_installed_decides_the_role(product_type: str, chassis: int | None, expected: str) -> None:
    role, why = decide_role(product_type, chassis)
    assert role == expected
    assert why


def test_where_wmi_is_broken_the_registry_still_tells() -> None:
    broken = WmiError("0x80041014")
    wmi = FakeWmi(
        Win32_OperatingSystem=broken,
        Win32_ComputerSystem=broken,
        Win32_NetworkAdapter=broken,
        Win32_NetworkAdapterConfiguration=broken,
    )
    found = read_system(RegFile(WORKSTATION), wmi, 3)
    assert found["os"]["name"] == "Windows 11 Pro"
    assert found["boot_time"] is None
    assert found["addresses"] == []


def test_an_adapter_without_a_cable_has_no_speed() -> None:
    wired, wireless = parse_adapters([UNPLUGGED, ETHERNET], [SETTING])
    assert (wired["name"], wired["up"], wired["speed_mbps"]) == ("Ethernet", True, 1000)
    assert (wireless["name"], wireless["up"], wireless["speed_mbps"]) == ("Wi-Fi", False, None)


def test_an_empty_registry_invents_nothing() -> None:
    assert machine_guid(RegFile("")) == ""
    assert read_system(RegFile(""), FakeWmi(), None)["name"] == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260722081512.500000+420", 1784682912.0),
        ("20260722011512.000000+000", 1784682912.0),
        ("16010101000000.000000+000", None),
        ("********000000.000000+***", None),
        ("00000005103000.000000:000", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_times_of_wmi(text: str | int | None, expected: float | None) -> None:
    assert cim_time(text) == expected
