"""What this machine is: maker, model, numbers, operating system, processor, memory, addresses."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.dmi import (
    SERVER_TYPES,
    WORKSTATION_TYPES,
    decide_virtualization,
    read_dmi,
    read_serials,
)
from agent.collectors.common.files import clean_text, read_text, under
from agent.collectors.common.interfaces import read_interfaces
from agent.collectors.registry import Context, Output, StatusDocument, collector

if TYPE_CHECKING:
    from pathlib import Path

#: A desktop is there where a display manager is set up or graphical sessions are installed.
DESKTOP_SIGNS = ("/etc/X11/default-display-manager", "/etc/systemd/system/display-manager.service")
DESKTOP_SESSIONS = ("/usr/share/xsessions", "/usr/share/wayland-sessions")


def parse_os_release(text: str) -> dict[str, str]:
    """os-release(5): shell-like assignments, quotes and their escapes undone."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = re.sub(r"\\([\"$`\\])", r"\1", value[1:-1])
        found[key] = clean_text(value)
    return found


def parse_cpu(text: str) -> tuple[str, int, bool]:
    """``(model, logical processors, whether a hypervisor shows itself)`` from /proc/cpuinfo."""
    model, count, hypervisor = "", 0, False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        key = key.strip()
        if key == "processor":
            count += 1
        elif key in ("model name", "Model", "Hardware") and not model:
            model = clean_text(value)
        elif key == "flags" and not hypervisor:
            hypervisor = " hypervisor" in value
    return model, count, hypervisor


def parse_memory_total(text: str) -> int | None:
    """Bytes of memory from /proc/meminfo."""
    match = re.search(r"^MemTotal:\s+([0-9]{1,18}) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def parse_boot_time(text: str) -> float | None:
    """When the kernel started, in seconds since the epoch, from /proc/stat."""
    match = re.search(r"^btime ([0-9]{1,12})$", text, re.MULTILINE)
    return float(match[1]) if match else None


def decide_role(chassis: int | None, release: dict[str, str], desktop: bool) -> tuple[str, str]:
    """``(role, why)``: what the case is, else what the system was installed as, else whether it has a desktop."""
    kind = (chassis or 0) & 0x7F
    variant = f"{release.get('VARIANT_ID', '')} {release.get('VARIANT', '')}".lower()
    if kind in SERVER_TYPES:
        return "server", reasons.ROLE_BY_CHASSIS()
    if "server" in variant:
        return "server", reasons.ROLE_BY_VARIANT()
    if "workstation" in variant or "desktop" in variant:
        return "workstation", reasons.ROLE_BY_VARIANT()
    if desktop:
        return "workstation", reasons.ROLE_BY_DESKTOP()
    if kind in WORKSTATION_TYPES:
        return "workstation", reasons.ROLE_BY_CHASSIS()
    return "unknown", reasons.ROLE_UNKNOWN()


def machine_role(root: Path, sys: Path, release: dict[str, str]) -> tuple[str, str]:
    """:func:`decide_role` of the machine with these trees; ``release`` is its os-release(5)."""
    chassis = read_dmi(sys).get("chassis_number")
    return decide_role(chassis if isinstance(chassis, int) else None, release, _has_desktop(root))


def _has_desktop(root: Path) -> bool:
    if any(os.path.lexists(under(root, name)) for name in DESKTOP_SIGNS):
        return True
    return any(any(under(root, name).glob("*.desktop")) for name in DESKTOP_SESSIONS)


def _container(root: Path) -> str:
    if (named := read_text(under(root, "/run/systemd/container"), 64)) is not None:
        return clean_text(named) or "container"
    return "docker" if under(root, "/.dockerenv").exists() else ""


@collector(
    "host",
    interval_seconds=3600,
    platforms={"linux"},
    privileges="root: serial number and UUID are readable by root only",
    description="Maker, model, serial number, UUID, operating system, kernel, processor, memory, addresses, "
    "whether workstation or server",
)
def collect(ctx: Context) -> Output:
    dmi = read_dmi(ctx.sys)
    chassis = dmi.pop("chassis_number", None)
    release = parse_os_release(
        read_text(under(ctx.root, "/etc/os-release"))
        or read_text(under(ctx.root, "/usr/lib/os-release"))
        or ""
    )
    model, count, hypervisor = parse_cpu(read_text(ctx.proc / "cpuinfo", 1 << 20) or "")
    role, why = decide_role(chassis, release, _has_desktop(ctx.root))
    interfaces = read_interfaces(ctx.sys)
    kernel = os.uname()
    body: dict[str, Any] = {
        "name": kernel.nodename,
        "fqdn": _full_name(ctx.root, kernel.nodename),
        **dmi,
        "role": role,
        "role_reason": why,
        "os": {
            "name": release.get("NAME", ""),
            "version": release.get("VERSION_ID", "") or release.get("BUILD_ID", ""),
            "kernel": kernel.release,
            "family": release.get("ID", "linux"),
        },
        "machine_id": clean_text(read_text(under(ctx.root, "/etc/machine-id"), 256) or ""),
        **read_serials(ctx.sys),
        "boot_time": parse_boot_time(read_text(ctx.proc / "stat", 1 << 20) or ""),
        "cpu": {"model": model, "count": count},
        "memory_total_bytes": parse_memory_total(read_text(ctx.proc / "meminfo") or ""),
        "addresses": sorted({address for i in interfaces for address in i.addresses}),
        "mac_addresses": sorted({i.mac for i in interfaces if i.mac and i.physical}),
        "virtualization": decide_virtualization(
            dmi["manufacturer"], dmi["model"], hypervisor, _container(ctx.root)
        ),
    }
    return Output(documents=[StatusDocument(kind="host", observed_at=ctx.now(), body=body)])


def _full_name(root: Path, name: str) -> str:
    """The full name /etc/hosts gives; no name server is asked, since that may take its time."""
    if "." in name:
        return name
    for line in (read_text(under(root, "/etc/hosts")) or "").splitlines():
        words = line.partition("#")[0].split()
        if name in words[1:]:
            return next((w for w in words[1:] if w.startswith(f"{name}.")), name)
    return name
