"""Which releases of which systems are known here, by OSV's names and by what an agent says of its machine.

A key is ``debian:12``, ``ubuntu:22.04``, ``almalinux:9``, ``rocky:9``, ``rhel:9``, or ``cpe`` for programs of Windows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Programs of Windows, which no distribution answers for: by their upstream version, from the NVD.
WINDOWS: Final = "cpe"
#: os-release's ID, and how versions are compared there.
_SCHEMES: Final = {
    "debian": "dpkg",
    "ubuntu": "dpkg",
    "almalinux": "rpm",
    "rocky": "rpm",
    "rhel": "rpm",
    WINDOWS: "numbers",
}
#: Only whole releases: what is for paying customers or for one minor release (Ubuntu Pro, RHEL EUS) is not for all.
_OSV: Final = (
    ("debian", re.compile(r"Debian:(?P<release>[0-9]{1,3})")),
    ("ubuntu", re.compile(r"Ubuntu:(?P<release>[0-9]{2}\.[0-9]{2})(?::LTS)?")),
    ("almalinux", re.compile(r"AlmaLinux:(?P<release>[0-9]{1,3})")),
    ("rocky", re.compile(r"Rocky Linux:(?P<release>[0-9]{1,3})")),
    ("rhel", re.compile(r"Red Hat:enterprise_linux:(?P<release>[0-9]{1,3})::(?:baseos|appstream|crb)")),
)
#: Kernels that are signed are built from a package of their own, and the distribution counts fixes by the unsigned one.
_SIGNED_KERNEL: Final = re.compile(r"linux-signed(?:-(?:amd64|arm64|i386|armhf))?(?P<flavour>-[a-z0-9.+-]+)?")


def from_osv(name: str) -> str:
    """The key of an OSV ecosystem; empty for one that is not ours to know."""
    for system, pattern in _OSV:
        if match := pattern.fullmatch(name):
            return f"{system}:{match['release']}"
    return ""


def ecosystem_of(host: Mapping[str, Any]) -> tuple[str, str]:
    """``(key, what to call the system)`` of a ``host`` document; the key is empty where it is not known here."""
    system = host.get("os")
    said = system if isinstance(system, dict) else {}
    family, version = (
        value if isinstance(value := said.get(each), str) else "" for each in ("family", "version")
    )
    name = f"{said.get('name') or family} {version}".strip()[:100]
    if family == "windows":
        return WINDOWS, name
    release = version if family == "ubuntu" else version.partition(".")[0]
    key = f"{family}:{release}"
    known = family in _SCHEMES and re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{2})?", release)
    return (key if known else ""), name


def scheme_of(ecosystem: str) -> str:
    """How versions are compared: ``dpkg``, ``rpm`` or ``numbers``."""
    return _SCHEMES[ecosystem.partition(":")[0]]


def manager_of(ecosystem: str) -> str:
    """Whose packages are the system's own: ``dpkg`` or ``rpm``; empty on Windows, which has no such thing."""
    return "" if ecosystem == WINDOWS else scheme_of(ecosystem)


def sources_of(scheme: str, package: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the distribution may call an installed package, with the version to compare: Debian's and Ubuntu's feeds
    go by source package, those of the RHEL family by binary or by source package."""
    name, version = package["name"], package["version"]
    source = package.get("source") or name
    if scheme == "rpm":
        return [(name, version)] if source == name else [(name, version), (source, version)]
    if match := _SIGNED_KERNEL.fullmatch(source):
        return [(f"linux{match['flavour'] or ''}", version)]
    return [(source, package.get("source_version") or version)]
