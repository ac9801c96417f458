from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common.dmi import (
    chassis_name,
    decide_virtualization,
    is_junk,
    parse_chassis,
    read_dmi,
)
from agent.collectors.host import (
    collect,
    decide_role,
    parse_boot_time,
    parse_cpu,
    parse_memory_total,
    parse_os_release,
)
from agent.collectors.load import collect as collect_load
from agent.collectors.load import parse_cpu_times, parse_memory_used, parse_uptime
from tests.agent.collectors.support import context, fixture_text, write


@pytest.mark.parametrize(
    "text",
    [
        "Default string", "To be filled by O.E.M.", "To Be Filled By O.E.M", "System Serial Number", "None", "N/A",
        "0", "00000000", "0123456789", "123456789", "Not Specified", "Not Applicable", "INVALID", " ", "...", "OEM",
        "System manufacturer", "System Product Name", "Chassis Serial Number", "FFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    ],
)  # fmt: skip
def test_what_makers_leave_unfilled_is_no_value(text: str) -> None:
    assert is_junk(text)


@pytest.mark.parametrize(
    "text", ["PF3K9XYZ", "5CG1234ABC", "VMware-56 4d 12", "Dell Inc.", "OptiPlex 7090", "SN1234"]
)
def test_a_real_serial_is_kept(text: str) -> None:
    assert not is_junk(text)


def dmi_tree(sys: Path, **values: str) -> Path:
    for name, value in values.items():
        write(sys / "class/dmi/id" / name, value + "\n")
    return sys


def test_firmware_values_are_read_and_placeholders_explained(tmp_path: Path) -> None:
    dmi_tree(
        tmp_path,
        sys_vendor="Dell Inc.",
        product_name="OptiPlex 7090",
        product_serial="To Be Filled By O.E.M.",
        product_uuid="4C4C4544-0042-3510-8052-B4C04F4E3432",
        chassis_type="3",
    )
    found = read_dmi(tmp_path)
    assert (found["manufacturer"], found["model"], found["serial_number"]) == (
        "Dell Inc.",
        "OptiPlex 7090",
        "",
    )
    assert "placeholder" in found["empty"]["serial_number"]
    assert found["product_uuid"] == "4c4c4544-0042-3510-8052-b4c04f4e3432"
    assert (found["chassis_type"], found["dmi_state"]) == ("desktop", "ok")


def test_a_machine_without_firmware_tables_is_unknown_with_the_reason(tmp_path: Path) -> None:
    found = read_dmi(tmp_path)
    assert (found["dmi_state"], found["chassis_type"], found["serial_number"]) == ("unknown", "unknown", "")
    assert "no DMI" in found["reason"]


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (3, "desktop"),
        (10, "notebook"),
        (23, "rack_mount"),
        (0x83, "desktop"),
        (99, "unknown"),
        (None, "unknown"),
    ],
)
def test_chassis_types_have_smbios_names(number: int | None, name: str) -> None:
    assert chassis_name(number) == name


@pytest.mark.parametrize(
    ("chassis", "release", "desktop", "role"),
    [
        (23, {}, True, "server"),
        (3, {}, False, "workstation"),
        (10, {}, True, "workstation"),
        (1, {"VARIANT_ID": "server"}, False, "server"),
        (3, {"VARIANT_ID": "server"}, False, "server"),
        (1, {}, True, "workstation"),
        (1, {}, False, "unknown"),
        (None, {}, False, "unknown"),
    ],
)
def test_the_role_is_decided_only_by_what_says_so(
    chassis: int | None, release: dict[str, str], desktop: bool, role: str
) -> None:
    assert decide_role(chassis, release, desktop)[0] == role


@pytest.mark.parametrize(
    ("maker", "hypervisor", "container", "expected"),
    [
        ("QEMU", True, "", "kvm"),
        ("VMware, Inc.", True, "", "vmware"),
        ("", True, "", "unknown_hypervisor"),
        ("Dell Inc.", False, "", "none"),
        ("QEMU", True, "docker", "container"),
    ],
)
def test_virtual_machines_and_containers_are_told_apart(
    maker: str, hypervisor: bool, container: str, expected: str
) -> None:
    assert decide_virtualization(maker, "", hypervisor, container) == expected


def test_captured_proc_files_are_read() -> None:
    model, count, hypervisor = parse_cpu(fixture_text("proc/cpuinfo"))
    assert (model, count, hypervisor) == ("AMD EPYC", 2, True)
    assert parse_memory_total(fixture_text("proc/meminfo")) == 25276514304
    assert parse_boot_time(fixture_text("proc/stat")) == 1795292153.0
    times = parse_cpu_times(fixture_text("proc/stat"))
    assert times is not None
    assert 0 < times[0] < times[1]
    used = parse_memory_used(fixture_text("proc/meminfo"))
    assert used is not None
    assert 0 < used < 0.5
    assert (parse_uptime(fixture_text("proc/uptime")) or 0) > 1000


def test_os_release_loses_its_quotes() -> None:
    found = parse_os_release(fixture_text("os-release_debian12"))
    assert (found["NAME"], found["VERSION_ID"], found["ID"]) == ("Debian GNU/Linux", "12", "debian")
    assert parse_os_release('NAME="a \\"b\\""')["NAME"] == 'a "b"'


def test_the_document_has_the_agreed_fields(tmp_path: Path) -> None:
    write(tmp_path / "etc/os-release", fixture_text("os-release_debian12"))
    write(tmp_path / "usr/share/xsessions/xfce.desktop", "")
    (document,) = collect(context(tmp_path, proc=Path("/proc"))).documents
    body: dict[str, Any] = document.body or {}
    assert document.kind == "host"
    assert body["role"] == "workstation"
    assert body["os"]["name"] == "Debian GNU/Linux"
    assert body["dmi_state"] == "unknown"
    assert body["cpu"]["count"] >= 1
    assert {
        "name", "fqdn", "manufacturer", "model", "serial_number", "product_uuid", "chassis_type", "role", "os",
        "boot_time", "cpu", "memory_total_bytes", "addresses", "mac_addresses", "virtualization", "dmi_state", "reason",
    } <= body.keys()  # fmt: skip


def test_the_processors_share_is_measured_between_two_runs(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    write(tmp_path / "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n")
    write(tmp_path / "proc/meminfo", fixture_text("proc/meminfo"))
    first = {m.name for m in collect_load(context(tmp_path, state=state)).metrics}
    assert first == {"host.memory_used_ratio"}
    write(tmp_path / "proc/stat", "cpu  150 0 150 900 0 0 0 0 0 0\n")
    second = {m.name: m.value for m in collect_load(context(tmp_path, state=state)).metrics}
    assert second["host.cpu_used_ratio"] == 0.5


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text: str) -> None:
    parse_os_release(text)
    parse_cpu(text)
    parse_memory_total(f"MemTotal: {text}")
    parse_memory_used(text)
    parse_boot_time(f"btime {text}")
    parse_cpu_times(f"cpu  {text}")
    parse_uptime(text)
    assert chassis_name(parse_chassis(text))
    assert is_junk(text) in (True, False)
