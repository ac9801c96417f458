"""Parsers of what a Windows machine says: registry, WMI, event log, firmware, its programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.assessment.readers import windows as policies
from agent.windows import (
    antivirus,
    antivirus_products,
    event_log,
    event_xml,
    firewall,
    network,
    security_center,
    smbios,
    software,
    system,
    updates,
    volumes,
    wmi,
)
from agent.windows import registry as reg
from tests.agent.collectors.support import CAPTURED
from tests.agent.windows import test_event_xml, test_network, test_smbios
from tests.agent.windows.reg_file import parse_reg
from tests.agent.windows.support import WORKSTATION, FakeWmi
from tests.agent.windows.test_antivirus import DEFENDER_EXE, ESET, KASPERSKY, SYMANTEC, TREND
from tests.agent.windows.test_software import UNINSTALL
from tests.fuzz.parser import Parser, parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.windows.registry import Hive, Value, View
    from agent.windows.wmi import Cell, Row


class _Tree:
    """:class:`agent.windows.registry.Registry` of ``{"HKLM\\key": {name: value}}``, read as the real one reads."""

    def __init__(self, tree: Any) -> None:
        self._keys: dict[str, dict[str, Value]] = {}
        for key, values in tree.items() if isinstance(tree, dict) else ():
            kept = (
                {n: v for n, raw in values.items() if (v := reg.bounded(raw)) is not None}
                if isinstance(values, dict)
                else {}
            )
            self._keys[str(key).casefold()] = kept

    def values(self, hive: Hive, path: str, view: View = 64) -> Mapping[str, Value] | None:
        return self._keys.get(f"{hive}\\{path}".casefold().rstrip("\\"))

    def subkeys(self, hive: Hive, path: str, view: View = 64) -> list[str]:
        prefix = f"{hive}\\{path}".casefold().rstrip("\\") + "\\"
        return list(
            {key[len(prefix) :].partition("\\")[0]: None for key in self._keys if key.startswith(prefix)}
        )


def _cell(value: Any) -> Cell:
    if isinstance(value, list):
        return [str(each) for each in value]
    return None if isinstance(value, dict) else value


def _rows(value: Any) -> list[Row]:
    rows = value if isinstance(value, list) else [value]
    return [{str(name): _cell(cell) for name, cell in row.items()} for row in rows if isinstance(row, dict)]


def _two(value: Any, one: str, other: str) -> tuple[list[Row], list[Row]]:
    found = value if isinstance(value, dict) else {}
    return _rows(found.get(one, [])), _rows(found.get(other, []))


def _registry(tree: Any) -> object:
    machine, asked = _Tree(tree), FakeWmi()
    values = machine.values("HKLM", r"SOFTWARE\Microsoft\Windows NT\CurrentVersion")
    return (
        system.parse_os(values),
        system.read_system(machine, asked, None),
        system.machine_guid(machine),
        software.installed(machine),
        firewall.firewall_body(machine, asked),
        updates.reboot_required(machine),
        [antivirus.signature_time(each, machine, CAPTURED) for each in antivirus_products.PRODUCTS],
    )


def _adapters(value: Any) -> object:
    found = system.parse_adapters(*_two(value, "adapters", "settings"))
    return network.interface_names(found), network.best_gateway(found), network.name_servers(found)


def _antivirus(value: Any) -> object:
    products, status = _two(value, "products", "status")
    codes = [antivirus_products.code_of(wmi.text(row, "displayName")) for row in products]
    found = antivirus.Found(
        rows=products, defender=status[0] if status else None, services={"windefend": True}
    )
    return antivirus.documents(found, _Tree({}), lambda _: True, CAPTURED), codes


def _stamp(value: Any) -> object:
    kept = reg.bounded(value)
    return [
        antivirus.parse_stamp(kept, each.stamp.pattern, each.stamp.seconds)
        for each in antivirus_products.PRODUCTS
        if each.stamp is not None
    ]


def _numbers(value: Any) -> object:
    state = value if isinstance(value, int) else 0
    return security_center.parse_state(state), updates.parse_date(value)


def _event(xml: str) -> object:
    event = event_xml.parse_event(xml)
    return event_log.record_of(event.fields)


def _read_wmi(value: Any) -> object:
    row = (_rows(value) or [{}])[0]
    return [
        (wmi.text(row, n), wmi.number(row, n), wmi.truth(row, n), wmi.texts(row, n), wmi.cim_time(row[n]))
        for n in row
    ]


_SMBIOS: Final = test_smbios.table(test_smbios.system(), test_smbios.CHASSIS)
_TREE: Final = {
    key: {name: each for name, each in values.items() if not isinstance(each, bytes)}
    for export in (WORKSTATION, UNINSTALL, KASPERSKY, ESET, TREND, SYMANTEC)
    for key, values in parse_reg(export).items()
}
_AUDIT: Final = (
    "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting,Setting Value\r\n"
    "PC,System,Logon,{0cce9215-69ae-11d9-bed3-505054503030},Success and Failure,,3\r\n"
)
_SECURITY: Final = "[Unicode]\r\nUnicode=yes\r\n[System Access]\r\nMinimumPasswordLength = 8\r\n"
_DEFENDER: Final = {
    "AMRunningMode": "Normal",
    "AMServiceEnabled": True,
    "AntivirusEnabled": True,
    "RealTimeProtectionEnabled": True,
    "AntivirusSignatureLastUpdated": "20260722101500.123456+420",
    "QuickScanEndTime": "20260722101500.000000+000",
    "FullScanEndTime": None,
    "QuickScanAge": 0,
    "FullScanAge": 4294967295,
    "AMEngineVersion": "1.1.24",
    "AntivirusSignatureVersion": "1.4.5",
    "IsTamperProtected": True,
}

PARSERS: Final[tuple[Parser, ...]] = (
    parser(
        "text",
        _event,
        event_xml.parse_event,
        event_log.record_of,
        raises=(event_xml.EventXmlError,),
        seeds=(test_event_xml.LOGON_FAILED, test_event_xml.CLEARED, test_event_xml.SERVICE),
        longest=event_xml.MAX_CHARACTERS,
    ),
    parser(
        "text",
        event_xml.parse_time,
        event_xml.parse_time,
        longest=event_xml.MAX_VALUE,
        seeds=("2026-07-22T08:15:00.1234567Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    ),
    parser(
        "bytes",
        lambda raw: (smbios.parse_system(raw), smbios.parse_serials(raw)),
        smbios.parse_system,
        smbios.parse_serials,
        smbios.parse_structures,
        smbios.parse_uuid,
        seeds=(_SMBIOS,),
        longest=smbios.MAX_BYTES,
    ),
    parser(
        "bytes",
        lambda raw: network.parse_arp_table(raw, {12: "Ethernet"}),
        network.parse_arp_table,
        seeds=(test_network.RAW,),
        longest=network.MAX_TABLE_BYTES,
    ),
    parser(
        "value",
        _registry,
        system.parse_os,
        software.installed,
        software.parse_entry,
        firewall.firewall_body,
        antivirus.signature_time,
        seeds=(_TREE,),
    ),
    parser(
        "value",
        _adapters,
        system.parse_adapters,
        network.interface_names,
        network.best_gateway,
        network.name_servers,
        seeds=(
            {
                "adapters": [
                    {
                        "Index": 1,
                        "InterfaceIndex": 12,
                        "NetConnectionID": "Ethernet",
                        "MACAddress": "02:FC:00:00:00:01",
                        "NetConnectionStatus": 2,
                        "Speed": 1_000_000_000,
                        "PhysicalAdapter": True,
                    }
                ],
                "settings": [
                    {
                        "Index": 1,
                        "IPAddress": ["192.0.2.9", "fe80::1%12"],
                        "DefaultIPGateway": ["192.0.2.1"],
                        "DNSServerSearchOrder": ["192.0.2.1"],
                        "IPConnectionMetric": 25,
                    }
                ],
            },
        ),
    ),
    parser(
        "value",
        _antivirus,
        antivirus.documents,
        antivirus.of_defender,
        antivirus_products.code_of,
        seeds=(
            {
                "products": [
                    {
                        "displayName": "Kaspersky",
                        "productState": 266240,
                        "pathToSignedProductExe": r"C:\a\avp.exe",
                        "timestamp": "Wed, 22 Jul 2026 08:15:00 GMT",
                    },
                    {
                        "displayName": "Windows Defender",
                        "productState": 397568,
                        "pathToSignedProductExe": DEFENDER_EXE,
                    },
                ],
                "status": [_DEFENDER],
            },
            {"products": [], "status": [_DEFENDER]},
        ),
    ),
    parser(
        "value",
        _stamp,
        antivirus.parse_stamp,
        seeds=("20260722", "29731 (20260722)", "2026-07-22 r3", 1784708112),
    ),
    parser(
        "value",
        lambda value: volumes.parse_volumes(_rows(value)),
        volumes.parse_volumes,
        seeds=(
            [
                {
                    "DeviceID": "C:",
                    "VolumeName": "Hệ thống",
                    "FileSystem": "NTFS",
                    "Size": 250 << 30,
                    "FreeSpace": 9 << 30,
                    "Access": 0,
                }
            ],
        ),
    ),
    parser(
        "value",
        lambda value: volumes.parse_encryption(_rows(value)),
        volumes.parse_encryption,
        seeds=(
            [
                {
                    "DriveLetter": "C:",
                    "DeviceID": "\\\\?\\Volume{1}\\",
                    "ProtectionStatus": 1,
                    "ConversionStatus": 1,
                    "EncryptionMethod": 6,
                    "VolumeType": 0,
                }
            ],
        ),
    ),
    parser("value", _read_wmi, wmi.cim_time, wmi.text, wmi.number, wmi.truth, wmi.texts, seeds=(_DEFENDER,)),
    parser(
        "value", _numbers, security_center.parse_state, updates.parse_date, seeds=(266240, 397568, 46_225.5)
    ),
    parser(
        "bytes",
        policies.parse_audit_backup,
        policies.parse_audit_backup,
        policies.decoded,
        longest=1 << 20,
        seeds=(_AUDIT.encode("utf-8-sig"), _AUDIT.encode("utf-16"), _AUDIT.encode()),
    ),
    parser(
        "bytes",
        policies.parse_security_export,
        policies.parse_security_export,
        longest=1 << 20,
        seeds=(_SECURITY.encode("utf-16"), _SECURITY.encode()),
    ),
)
